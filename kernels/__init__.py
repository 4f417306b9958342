"""The arithmetic of xpnn: functions that fill arrays they are given. Nothing here imports xpnn."""
