"""KTH Action: grey video of people who box, clap, wave, walk, jog and run, one JPEG file a frame.

Schuldt, Laptev, Caputo: Recognizing Human Actions, ICPR 2004; as images with the frames of the actions only.
Differences from the published codes (E3D-LSTM, OpenSTL): frames are kept as they are in the files and resized when
asked for, to float32, where those resize at the start; and persons 15 and 16 are kept out of training.
"""

import os
import re
from pathlib import Path

import numpy as np
from PIL import Image

from datasets.video.clips import Part, windows
from datasets.video.recordings import FrameFolders, ImageFiles, Recording, Window
from simvp.errors import SourceError

# Frames from one window to the next, as the published codes count them; None: T + T', so that no frame is in two.
EVERY = {"boxing": None, "handclapping": None, "handwaving": None, "walking": None, "jogging": 3, "running": 3}
# Published: 1 to 16 and 17 to 25; the last two of training choose here what the test part chooses there.
PERSONS: dict[Part, range] = {"train": range(1, 15), "validation": range(15, 17), "test": range(17, 26)}
FOLDER = re.compile(r"person(\d\d)_[a-z]+_d\d+_uncomp")
FRAME = re.compile(r"image_(\d{1,9})\.jpg")


class KTHBenchmark(FrameFolders):
    """KTH Action, read from `<action>/person<NN>_<action>_d<k>_uncomp/image_<NNNN>.jpg`."""

    def _absent(self, folder: Path) -> list[str] | None:
        return [f"no folder {folder / action}" for action in EVERY if not (folder / action).is_dir()] or None

    def _layout(self, folder: Path, part: Part, length: int) -> tuple[str, list[Window]]:
        """Windows of the persons of a part; none spans a gap, which the published images have inside recordings."""
        persons, count = PERSONS[part], 0
        starts: list[Window] = []
        reasons = []
        for action, every in EVERY.items():
            persons_seen = set()
            for name in sorted(os.listdir(folder / action)):
                match = FOLDER.fullmatch(name)
                if not match or int(match[1]) not in persons:
                    continue
                persons_seen.add(int(match[1]))
                frames = sorted(
                    (int(m[1]), file) for file in os.listdir(folder / action / name) if (m := FRAME.fullmatch(file))
                )
                if not frames:
                    reasons.append(f"{folder / action / name}: expected image_<NNNN>.jpg, got none")
                    continue
                numbers = np.array([number for number, _ in frames])
                read = ImageFiles(folder / action / name, [file for _, file in frames], first_channel)
                recording = Recording(name=name.removesuffix("_uncomp"), numbers=numbers, read=read, digits=4)
                starts += [(recording, start) for start in windows(numbers, length, every or length)]
                count += 1
            if absent := [f"{person:02d}" for person in persons if person not in persons_seen]:
                reasons.append(f"{folder / action}: expected folders of each person, got none of {', '.join(absent)}")
        if reasons:
            raise SourceError(f"benchmark {self.name}", reasons, f"fetch the images of every person from {self.source}")
        return f"{count} recordings of persons {persons[0]} to {persons[-1]}, all six actions", starts


def first_channel(image: Image.Image) -> np.ndarray:
    """Grey frame (h, w, 1) uint8; the files have three equal channels, and the published codes take the first."""
    if image.mode not in ("L", "RGB"):
        raise ValueError(f"an image of mode {image.mode}, where grey or RGB was expected")
    pixels = np.asarray(image)
    return pixels[..., None] if pixels.ndim == 2 else pixels[..., :1]


KTH = KTHBenchmark(
    name="kth",
    title="KTH Action",
    licence="non-commercial use; cite Schuldt, Laptev, Caputo (ICPR 2004)",
    source="https://www.csc.kth.se/cvap/actions/",
    variables={"intensity": "grey level"},
    files="the videos as images, <action>/person<NN>_<action>_d<k>_uncomp/image_<NNNN>.jpg, six actions, 25 persons",
    size=(128, 128),
    frames_in=10,
    frames_out=20,
    horizons=(20, 40),
    splits={
        "train": "persons 01 to 14 of the published training persons 01 to 16",
        "validation": "persons 15 and 16 of the published training persons",
        "test": "persons 17 to 25, as published",
    },
    paper_counts={"train": "5.2k", "test": "3.1k"},
)
