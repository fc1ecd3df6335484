"""What a model artifact is: the files in it, and the types that the judge, the server and the train stage share."""
