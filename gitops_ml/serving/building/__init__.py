"""The build contexts of the images of models; nothing here runs inside a container."""
