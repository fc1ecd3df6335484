"""Reads posts from XML, and splits them."""

from pathlib import Path
from xml.etree import ElementTree

import pandas as pd

posts = ElementTree.parse("data/posts.xml").getroot().findall("row")
rows = pd.DataFrame({"text": [p.get("Title") for p in posts], "label": [int("python" in p.get("Tags")) for p in posts]})
folder = Path("data/prepared")
folder.mkdir(parents=True, exist_ok=True)
rows[rows.index % 4 != 0].to_csv(folder / "train.tsv", sep="\t", index=False)
rows[rows.index % 4 == 0].to_csv(folder / "test.tsv", sep="\t", index=False)
