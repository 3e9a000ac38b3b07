"""What every page is made with: words in the reader's language, templates, forms, refusals, headers."""
