"""The operator side: runs beside a person, CI or a control plane.  Nothing below imports it."""
