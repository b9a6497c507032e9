//! A frame's life in user space: tables, stages, workers, ports.
