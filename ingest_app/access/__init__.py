"""Who may use the service: API keys, and who somebody is who shows one."""
