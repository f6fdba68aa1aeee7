"""The rules that Tracewarden ships."""
