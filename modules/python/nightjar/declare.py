"""What a function needs and gives, and the settings it has: said by decorators, as tables say it in C."""

import inspect
import math

from .columns import TYPES

SCALAR, SERIES, IMAGE = 1, 2, 3
FORMS = ("numpy", "pandas", "arrow")


class Need:
    def __init__(self, path, type, shape, unit, optional):
        self.path, self.type, self.shape, self.unit, self.optional = path, type, shape, unit, optional


class Give:
    def __init__(self, unit, doc, type, lo, hi, flag_above, width, like):
        self.unit, self.doc, self.type, self.lo, self.hi = unit, doc, type, lo, hi
        self.flag_above, self.width, self.like = flag_above, width, like


def _type(name):
    if name not in TYPES:
        raise ValueError("type %r is none of %s" % (name, ", ".join(TYPES)))
    return TYPES[name]


def scalar(path, unit="1", type="f64", optional=False):
    """A value per alert: "jd", "packet.candidate.sgscore1". optional: None when the survey has none."""
    return Need(path, _type(type), SCALAR, unit, optional)


def series(path, unit="1", type="f64", optional=False):
    """A light curve per alert: "lc.mag", "lc.mag@r"."""
    return Need(path, _type(type), SERIES, unit, optional)


def image(path, optional=False):
    """A stamp per alert: "stamp.science"."""
    return Need(path, TYPES["f32"], IMAGE, "DN", optional)


def give(unit, doc, type="f64", lo=-math.inf, hi=math.inf, flag_above=math.nan, width=1, like=None):
    """A column that comes out. doc: one sentence, what it is and what "no answer" means. like: the name of a
    series among the needs; then it has a value for each of its points."""
    if not doc.strip():
        raise ValueError("give(): doc is a sentence: what it is, and what no answer means")
    return Give(unit, doc, _type(type), lo, hi, flag_above, 0 if like else width, like)


class Batch:
    """What a function gets besides its columns when it has a parameter `batch`: n rows, the alerts' ids."""

    __slots__ = ("n", "id")

    def __init__(self, n, id):
        self.n, self.id = n, id


class Module:
    def __init__(self, function, needs, gives, settings, form, version, serial, opened):
        self.function, self.needs, self.gives, self.settings = function, needs, gives, settings
        self.form, self.version, self.serial, self.opened = form, version, serial, opened
        self.name = function.__name__
        parameters = inspect.signature(function).parameters
        anything = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        known = {**needs, **settings, "batch": None, "state": None}
        for name, p in parameters.items():
            if p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL) or name in known or p.default is not p.empty:
                continue
            raise TypeError("%s() has a parameter %s, which is no need and no setting" % (self.name, name))
        for name in [*needs, *settings]:
            if name not in parameters and not anything:
                raise TypeError("%s() has no parameter %s, which is declared" % (self.name, name))
        self.wants_batch = "batch" in parameters and "batch" not in needs
        self.wants_state = "state" in parameters and "state" not in needs
        if not gives:
            raise ValueError("%s gives no column" % self.name)
        for name, g in gives.items():
            if g.like is not None and g.like not in needs:
                raise ValueError("%s: like = %r is no need" % (name, g.like))

    def describe(self):
        """Lines of words for modules/python.c; modules/python/PROTOCOL.md."""
        text, order = [], list(self.needs)
        plain = lambda t: " ".join(str(t).split())
        for n in self.needs.values():
            text.append(["need", n.path, n.type, n.shape, n.unit, int(n.optional)])
        for name, g in self.gives.items():
            like = -1 if g.like is None else order.index(g.like)
            text.append(
                ["give", name, g.type, g.width, like, g.unit, repr(float(g.lo)), repr(float(g.hi))]
                + [repr(float(g.flag_above)), plain(g.doc)]
            )
        if self.serial:
            text.append(["serial"])
        return "".join("\t".join(map(str, line)) + "\n" for line in text) + "end\n"

    def set(self, text):
        """Settings as a run gives them, "min_points = 5, radius = 2.5", each of the type of its default."""
        for item in text.split(","):
            if not item.strip():
                continue
            name, equals, value = (x.strip() for x in item.partition("="))
            if not equals or name not in self.settings:
                raise ValueError(
                    "%r is no setting of %s; it has %s"
                    % (item.strip(), self.name, ", ".join(self.settings) or "none")
                )
            kind = type(self.settings[name])
            if kind is bool:
                if value.lower() not in ("0", "1", "no", "yes", "false", "true"):
                    raise ValueError("%s = %s: must be 0 or 1" % (name, value))
                self.settings[name] = value.lower() in ("1", "yes", "true")
            else:
                self.settings[name] = kind(value)


declared = []


def module(needs, gives, settings=None, form="numpy", version="1.0", serial=False, opened=None):
    """Declares a function to be a module. It is called with its needs and settings by name, and returns its
    gives: a dict, a tuple in their order, one array, or a DataFrame; "reason" may be among them. form: what
    columns are, "numpy", "pandas" (Series; of arrays for light curves) or "arrow". opened: called once in
    each worker; what it returns is the parameter `state`. serial: answers depend on the order of alerts."""
    if form not in FORMS:
        raise ValueError("form = %r is none of %s" % (form, ", ".join(FORMS)))

    def decorate(function):
        made = Module(function, dict(needs), dict(gives), dict(settings or {}), form, version, serial, opened)
        declared.append(made)
        return function

    return decorate
