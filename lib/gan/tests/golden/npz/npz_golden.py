"""Makes the same small statistics in the ways that numpy can write them."""

import numpy as np

mu = np.array([0.5, -0.25, 4.0])
sigma = np.array([[2.0, 0.5, 0.25], [0.5, 3.0, 0.125], [0.25, 0.125, 1.0]])
np.savez_compressed("compressed.npz", mu=mu, sigma=sigma)
np.savez("stored.npz", mu=mu, sigma=sigma)
np.savez("fortran.npz", mu=mu, sigma=np.asfortranarray(sigma), other=np.array(["more"]))
np.savez("single.npz", mu=mu.astype("f4"), sigma=sigma.astype("f4"))
np.savez("big_endian.npz", mu=mu.astype(">f8"), sigma=sigma.astype(">f8"))
