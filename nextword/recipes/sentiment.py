"""The recipe for sentiment: MiniLM fine-tuned, beside words and the majority."""

import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from nextword.finetuning import Classifier, label_accuracy, labelled_batch
from nextword.public_forms import read_labelled
from nextword.recipes.base import Outcome, Request, score, tune
from nextword.weights import minilm
from nextword.wordpiece import frame
from nextword.words import PAD


def tfidf(train: list, dev: list, test: list) -> tuple[float, float]:
    """Accuracy of logistic regression on words and pairs of them, and its C.

    C, against large weights, is the best of three on the development set.
    """
    vectors = TfidfVectorizer(token_pattern=r"\S+", ngram_range=(1, 2))
    x = vectors.fit_transform([text for text, _ in train])
    others = [
        (vectors.transform([t for t, _ in part]), [label for _, label in part])
        for part in (dev, test)
    ]
    labels = [label for _, label in train]
    models = [
        LogisticRegression(C=c, max_iter=1000).fit(x, labels)
        for c in (1.0, 4.0, 16.0)
    ]
    best = max(models, key=lambda model: model.score(*others[0]))
    return float(best.score(*others[1])), best.C


def sst2(request: Request) -> Outcome:
    """Good or bad: MiniLM, fine-tuned whole, beside words and the majority."""
    size, (body, tokenizer) = request.size, minilm()
    train, dev, test = (
        read_labelled(request.paths[split])[:most]
        for split, most in (
            ("train", size.train),
            ("dev", None),
            ("test", size.test),
        )
    )
    most = max((0, 1), key=[label for _, label in train].count)
    share = sum(label == most for _, label in test) / len(test)
    words, c = tfidf(train, dev, test)
    rows = [
        [
            (*frame(tokenizer, text, max_length=size.context_length), label)
            for text, label in part
        ]
        for part in (train, test)
    ]
    torch.manual_seed(request.seed)
    model = Classifier(body, 2, mean=True).to(request.device)
    pad_id = tokenizer.ids[PAD]
    tune(model, rows[0], pad_id, request)
    found = label_accuracy(model, labelled_batch(rows[1], pad_id))
    scores = [
        score("the more frequent label", "accuracy", share),
        score("TF-IDF, logistic regression", "accuracy", words, f"C = {c:g}"),
        score("MiniLM, fine-tuned", "accuracy", found),
    ]
    data = "whole sentences of the training file, tested on the test file"
    return Outcome(data, len(train), len(test), scores, [])
