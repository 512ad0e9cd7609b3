"""Tutti online: artifacts in, playlists out, over HTTP."""
