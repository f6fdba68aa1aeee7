"""How traces get in: receivers, the trace log, the writer."""
