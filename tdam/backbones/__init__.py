"""One file a family of networks; each builds plain networks equal to their origin's."""
