"""Role-based access control: the pure decision model, without I/O, clock or framework."""
