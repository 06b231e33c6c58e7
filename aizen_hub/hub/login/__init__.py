"""Authentication of users by providers; the service decides which users may sign in."""
