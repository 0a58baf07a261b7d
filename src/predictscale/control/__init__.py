"""The step that decides, and the loop, workers and store around it."""
