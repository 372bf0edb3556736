"""What a user's own data holds, before anything is trained: format, columns, roles, counts."""
