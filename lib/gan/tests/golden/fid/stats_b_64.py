"""Makes stats_b_64.npz, the statistics of the features `b`, as pytorch-fid saves them."""

import numpy as np

b = np.load("features_64.npz")["b"].astype("float64")
np.savez_compressed("stats_b_64.npz", mu=b.mean(axis=0), sigma=np.cov(b, rowvar=False))
