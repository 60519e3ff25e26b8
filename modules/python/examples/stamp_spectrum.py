"""The power spectrum of the centre of a stamp, as hostless takes it of its candidates: mean power of the
modes of each bin, times the bin's number."""

import numpy as np
from nightjar import give, image, module

SIDE = 14
_k = np.fft.fftfreq(SIDE, 1 / SIDE)
_bin = np.floor(np.hypot(_k[:, None], _k[None, :]) - 0.5).astype(int)
_modes = [np.nonzero(_bin == b) for b in range(SIDE // 2)]


@module(
    needs={"science": image("stamp.science")},
    gives={
        "power": give("1", "by bin; none without a stamp, or with NaN in its centre", lo=0, width=SIDE // 2),
    },
)
def stamp_spectrum(science, batch):
    power = np.full((batch.n, SIDE // 2), np.nan)
    for row, stamp in enumerate(science.all()):
        if stamp is None or min(stamp.shape) < SIDE:
            continue
        top, left = (np.array(stamp.shape) - SIDE) // 2
        f = np.fft.fft2(stamp[top : top + SIDE, left : left + SIDE].astype(float))
        p = f.real**2 + f.imag**2
        power[row] = [(b + 1) * p[m].mean() for b, m in enumerate(_modes)]
    return power
