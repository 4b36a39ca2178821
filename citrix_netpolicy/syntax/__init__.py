"""Languages: YAML, JSON, HCL, Bicep and Markdown, read and written. Nothing here knows of groups or rules."""
