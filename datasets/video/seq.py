"""The `.seq` container of Norpix StreamPix, as the Caltech Pedestrian recordings use it: JPEG frames, one by one.

Layout, little-endian: a header of 1024 bytes, of which

    0    uint32   0xFEED
    4    UTF-16   "Norpix seq", 24 bytes
    28   int32    version
    32   uint32   size of the header
    36   UTF-16   description, 512 bytes
    548  uint32   width, height, bits of a pixel, bits that are used, bytes of an image, image format, number of frames,
                  0, bytes of an image in the file
    584  float64  frames per second

and for each frame a uint32 (length of itself and the JPEG), the JPEG, and 8 bytes of time; some files have 8 empty
bytes more after each frame, which the first two frames tell. Known from the reader and writer of P. Dollar's toolbox
(seqIo), and read from a file of his.
"""

import io
import os
import struct
from pathlib import Path

import numpy as np

from datasets.video.recordings import BROKEN, opened
from simvp.errors import SourceError

HEADER = 1024
MAGIC = 0xFEED
TITLE = "Norpix seq"
JPEG = (102, 201)  # grey and colour
OTHERS = {
    1: "PNG, grey",
    2: "PNG, colour",
    100: "uncompressed, grey",
    101: "uncompressed, one colour a pixel",
    103: "JPEG, one colour a pixel",
    200: "uncompressed, colour",
}
FETCH = "fetch the file again"


class SeqFile:
    """One recording; opening it reads the header and where each frame lies, and decodes none.

    Attributes
    ----------
    width, height : int
    frame_rate : float
        Frames per second, as the header says.

    Raises
    ------
    SourceError
        No such container, frames that are no JPEG, or fewer frames than the header promises.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            if path.exists() and not path.is_file():
                raise SourceError(f"recording {path}", ["it is no regular file"], FETCH)
            with path.open("rb") as file:
                frames = self._header(file.read(HEADER))
                self._places = _places(file.fileno(), frames)
        except OSError as error:
            raise SourceError(f"recording {path}", [f"cannot be read: {error.strerror}"]) from error
        if len(self._places) < max(frames, 1):
            reason = f"expected {frames or 'at least 1'} frames, as its header promises, got {len(self._places)} whole"
            raise SourceError(f"recording {path}", [f"{reason}: the file is cut off or damaged"], FETCH)

    def __len__(self) -> int:
        """Number of frames."""
        return len(self._places)

    def frame(self, index: int) -> np.ndarray:
        """One frame, (height, width, 3) uint8, red, green, blue.

        Raises
        ------
        SourceError
            A JPEG that is damaged, or of another size than the header says.
        """
        start, length = self._places[index]
        try:
            with self.path.open("rb") as file:
                file.seek(start)
                content = file.read(length)
            with opened(io.BytesIO(content), formats=("JPEG",)) as image:
                size = image.size
                # Decoded only if it is as large as the header says.
                frame = np.asarray(image.convert("RGB")) if size == (self.width, self.height) else None
        except BROKEN as error:
            reason = f"frame {index}: expected a whole JPEG, got: {error}"
            raise SourceError(f"recording {self.path}", [reason], FETCH) from error
        if frame is None:
            reason = f"frame {index}: expected {self.width} x {self.height} pixels, as its header says"
            raise SourceError(f"recording {self.path}", [f"{reason}, got {size[0]} x {size[1]}"], FETCH)
        return frame

    def _header(self, header: bytes) -> int:
        """Sizes out of the header; returns the number of frames, 0 where it was never filled in."""
        magic, title = int.from_bytes(header[:4], "little"), header[4:24].decode("utf-16-le", "replace")
        reasons = []
        if magic != MAGIC or title != TITLE:
            reasons = [f"expected a Norpix sequence (0xFEED, {TITLE!r}), got first bytes {header[:24]!r}"]
        elif len(header) < HEADER:
            reasons = [f"expected a header of {HEADER} bytes, got a file of {len(header)}"]
        else:
            (length,) = struct.unpack_from("<I", header, 32)
            self.width, self.height, _, _, _, form, frames = struct.unpack_from("<7I", header, 548)
            (self.frame_rate,) = struct.unpack_from("<d", header, 584)
            if length != HEADER:
                reasons.append(f"expected a header of {HEADER} bytes, got {length}")
            if form not in JPEG:
                name = f" ({OTHERS[form]})" if form in OTHERS else ""
                reasons.append(f"expected image format 102 or 201 (JPEG), got {form}{name}")
        if reasons:
            raise SourceError(f"recording {self.path}", reasons, FETCH)
        return int(frames)


def _places(file: int, frames: int) -> list[tuple[int, int]]:
    """Start and length of each JPEG that is whole, at most `frames` of them, or all where that is 0."""
    size = os.fstat(file).st_size
    places: list[tuple[int, int]] = []
    start, gap = HEADER, 8
    while not frames or len(places) < frames:
        length = _number(file, start)
        # The length counts its own four bytes: 4 or less is no frame but the end, or what was never written.
        if length <= 4 or start + length > size:
            break
        places.append((start + 4, length - 4))
        if len(places) == 1 and _number(file, start + length + gap) == 0:
            gap += 8
        start += length + gap
    return places


def _number(file: int, offset: int) -> int:
    """The uint32 at an offset; 0 past the end."""
    return int.from_bytes(os.pread(file, 4, offset).ljust(4, b"\0"), "little")
