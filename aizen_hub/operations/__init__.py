"""Work that takes longer than a request: it is started, watched with its progress, and can be cancelled."""
