"""Knowledge: articles, chunks, and the search over them."""
