"""Softmax factorisation as pure functions of arrays: one loss, two ways to sample the tracks that a positive beats.

`uniform` draws a few tracks for every pair, as the original recipe does; `shared` draws many for a batch of users and
corrects for how often each is drawn; `candidates` judges both alike, on pairs that were held out.
"""
