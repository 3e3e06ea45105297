"""From a checked request to the run that answers it: by a model, an upstream, or a recording."""
