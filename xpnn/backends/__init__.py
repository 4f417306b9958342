"""The backends that come with the library; `xpnn.core.backend.get` imports them by name."""
