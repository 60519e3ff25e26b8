"""out_kit.py - the made alerts of the tests of outputs: ZTF's columns, and any others beside them. Not a
test."""

CANDIDATE = {
    "jd": "double",
    "ra": "double",
    "dec": "double",
    "magpsf": ["null", "float"],
    "fid": "int",
    "programid": "int",
}


def alert_schema(fields=None, candidate=None):
    """An alert with these further fields; candidate: of the record of that name."""

    def named(types):
        return [{"name": name, "type": kind} for name, kind in types.items()]

    inner = {"type": "record", "name": "candidate", "fields": named({**CANDIDATE, **(candidate or {})})}
    outer = {"objectId": "string", "candid": "long", "candidate": inner, **(fields or {})}
    return {"type": "record", "name": "alert", "namespace": "test", "fields": named(outer)}


def packet(k, candidate=None, **more):
    inner = {"jd": 2460000.5 + k, "ra": 10.0 + k % 300, "dec": -5.0, "magpsf": 18.5, "fid": 1, "programid": 1}
    outer = {
        "objectId": f"ZTF18aaaa{k % 7}",
        "candid": 2**62 + k,
        "candidate": {**inner, **(candidate or {})},
    }
    return {**outer, **more}
