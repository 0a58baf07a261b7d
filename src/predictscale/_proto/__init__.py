"""Generated from proto/ by scripts/generate-proto; not edited by hand."""
