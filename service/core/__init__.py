"""What serving and training share: ids, scoring, group strategies, artifacts. Knows neither HTTP nor data frames."""
