"""Where members live and how their links are cut."""
