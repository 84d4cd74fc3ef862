"""Training: from a data set with image labels to a localizer, in one folder a run."""
