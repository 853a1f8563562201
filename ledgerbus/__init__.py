"""The command line: an outsider that reads topics and the services' HTTP APIs."""
