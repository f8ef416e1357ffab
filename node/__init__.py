"""The only place where clock, tasks, sockets, disk and the core meet."""
