"""limbic's corpus, read from its archive in the repository."""
import os
import tarfile

ARCHIVE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "emotion", "corpus.tar.gz")


def sections(text):
    """The parts of a file: (what stands behind ##, text)."""
    parts = ("\n" + text).split("\n## ")[1:]
    return [(head.strip(), body.strip("\n")) for head, _, body in (p.partition("\n") for p in parts)]


class Corpus:
    """emotions; topics; stories: (emotion, topic, hand, text); neutral: (topic, text)."""

    def __init__(self, topics=None):
        with tarfile.open(ARCHIVE) as tar:
            files = {m.name: tar.extractfile(m).read().decode() for m in tar.getmembers() if m.isfile()}
        self.emotions = files["emotions.txt"].split("\n")
        self.emotions = [e for e in self.emotions if e]
        stem = lambda e: e.replace(" ", "-")
        every = [t for t, _ in sections(files[f"stories/{stem(self.emotions[0])}.txt"])]
        self.topics = [t for t in every if topics is None or t in topics]
        hands = {}
        for row in files["writers.tsv"].splitlines()[1:]:
            emotion, first, second = row.split("\t")
            for i, topic in enumerate(every):
                hands[emotion, topic] = first if i < 12 else second
        self.stories = [
            (e, t, hands[e, t], text)
            for e in self.emotions for t, text in sections(files[f"stories/{stem(e)}.txt"]) if t in self.topics
        ]
        self.neutral = [(t, text) for t in self.topics for _, text in sections(files[f"neutral/{t}.txt"])]
