"""The conf server as this server's pillar declares it: which namespaces there are, and how each is brought in step."""

import insync_conf
import insync_inventory
import insync_jt


class DeclaredConf:
    """Compares what is declared with what is loaded, and loads what differs."""

    def __init__(self, pillar, versions=None):
        """
        pillar (dict): conf, apps, endpoints and secrets of this server.
        versions (dict): platform -> current version (str).
        Raises insync_conf.ConfError on a server that has no conf server.
        """
        if "conf" not in pillar:
            raise insync_conf.ConfError("this server has no conf server")
        self._pillar, self._conf, self._versions = pillar, pillar["conf"], versions

    def namespaces(self, named=()):
        """Return those of ``named`` (list of str), or all; raises ConfError for one that is not declared."""
        known = self._conf["namespaces"]
        for name in named:
            if name not in known:
                raise insync_conf.ConfError(f"{name}: no namespace is declared{insync_inventory.hint(name, known)}")
        return list(named or known)

    def load(self, namespace, prune=False, test=False):
        """
        Load what differs; return a dict: changes (name -> old and new value, secrets masked), undeclared (names of
        values that nobody has declared; they stay, unless ``prune``) and revision.

        prune (bool): remove what nobody has declared. test (bool): only compare.
        Raises ConfError for values that cannot be made out, insync_jt.JtError.
        """
        declared = self._conf["namespaces"][namespace]
        wanted = insync_conf.resolve(declared, self._pillar["endpoints"], self._pillar["secrets"], self._versions)
        insync_conf.check(wanted, self._conf["numbers"])
        jt = self._jt(namespace)
        held = jt.values()
        undeclared = sorted(held.keys() - wanted.keys())
        compared = held if prune else {name: held[name] for name in held.keys() & wanted.keys()}
        changes = insync_conf.differences(compared, wanted, insync_conf.secrets_in(declared))
        done = jt.load(wanted, prune, dry_run=test or not changes)
        return {"changes": changes, "undeclared": [] if prune else undeclared, "revision": done["rev"]}

    def _jt(self, namespace):
        program = f"{self._pillar['apps']['conf_server']['virtualenv']}/{self._conf['jt']}"

        def call(words):
            return [program, *(word.replace("{namespace}", namespace) for word in words)]

        return insync_jt.Jt(call(self._conf["load"]), self._conf["environment"], call(self._conf["dump"]))
