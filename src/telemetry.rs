//! Logs and metrics: how the process tells its operator what it does.
