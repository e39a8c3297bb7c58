//! CPU compute of gantools: plain functions over slices. No candle, no files.
