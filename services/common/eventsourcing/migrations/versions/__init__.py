"""One module per step; `revision` is what log_info.schema_version says after it."""
