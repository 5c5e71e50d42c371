"""What the routes were worth on the holdout, as tables, Markdown and a page, and the pictures that the UI shows too."""
