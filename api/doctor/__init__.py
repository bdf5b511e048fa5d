"""What `kefu doctor` looks at, one module for each thing it depends on."""
