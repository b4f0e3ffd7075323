"""The servers of an application, and of those with two slots the load balancer that asks one of these."""

import concurrent.futures

import insync_inventory
import insync_jobs
import insync_serving


class Application:
    """Jobs for the servers of an application."""

    def __init__(self, opts, inventory, name, servers):
        """
        opts (dict): the master's configuration. inventory (dict): as insync_inventory.load returns it.
        name (str): the application, such as ``mailer``, or ``staging-mailer`` for that of environment staging.
        servers (list of str): where it runs.
        """
        self.key, (_, self.name) = name, insync_inventory.application(inventory, name)
        self.servers, self.jobs = servers, insync_jobs.Jobs(opts)
        self._master = insync_inventory.hosts_with(inventory, insync_inventory.MASTER)[0]

    def on_servers(self, function, *arguments, servers=None, **keywords):
        """Call ``function`` (str) for this application on ``servers`` (all by default); return {server: answer}."""
        return self.jobs.call(servers or self.servers, function, self.name, *arguments, **keywords)

    def servers_status(self):
        """Return {server: insync_slot.status}."""
        return self.jobs.look(self.servers, "insync_slot.status", self.name)

    def resolve(self, pins, wanted, package, index, ca):
        """Ask the index once, on the master's server, for what insync_index.resolve returns (str)."""
        arguments = (pins, package, wanted, index, ca)
        return self.jobs.call([self._master], "insync_index.resolve", *arguments)[self._master]

    def lock(self, release):
        """Return what ``release`` (str) was built from (str), as ct1 recorded it or one of the servers has it."""
        recorded = insync_serving.lock(self.key, release)
        if recorded:
            return recorded
        (lock,) = self.on_servers("insync_slot.lock", release, servers=self.servers[:1]).values()
        return lock

    def serving(self):
        """Return what ct1 recorded last (dict: slot, release, lock), {} if nothing that can be read."""
        return insync_serving.known(self.key)

    def remember(self, slot, release):
        """Record on ct1 that ``release`` serves in ``slot`` (both str). Raises JobError if that cannot be."""
        try:
            insync_serving.write(self.key, slot, release, self.lock(release))
        except OSError as exc:
            raise insync_jobs.JobError("remember", {self._master: str(exc)}, {}) from exc


class Pool(Application):
    """Jobs for the servers of an application with two slots, and for its load balancer."""

    def __init__(self, opts, inventory, name):
        """
        opts, inventory: as for Application.
        name (str): the application, such as ``web`` or ``staging-web``. Raises insync_inventory.InventoryError for one
            without slots.
        """
        pools = insync_inventory.all_pools(inventory)
        if name not in pools:
            raise insync_inventory.InventoryError(f"{name}: no such pool{insync_inventory.hint(name, pools)}")
        super().__init__(opts, inventory, name, pools[name])
        environment, _ = insync_inventory.application(inventory, name)
        seen = insync_inventory.seen_from(inventory, environment)
        (self.balancer,) = insync_inventory.hosts_with(seen, "web_lb")

    def status(self):
        """Return (what ``balancer_status`` returns, {server: insync_slot.status}); JobError if one does not answer."""
        with concurrent.futures.ThreadPoolExecutor(2) as both:
            asked = [both.submit(self.balancer_status), both.submit(self.servers_status)]
        failed = [one.exception() for one in asked if one.exception()]
        if failed:
            raise failed[0] if len(failed) == 1 else insync_jobs.joined(*failed)
        return tuple(one.result() for one in asked)

    def balancer_status(self):
        """Return what the load balancer says of the pool (dict): active (slot), servers (its servers -> status)."""
        found = self.jobs.look([self.balancer], "lb.status", self.name)[self.balancer][self.name]
        # One failed check of a server that is up makes it "UP 1/2".
        servers = {host: said.split()[0] for host, said in found["slots"][found["active"]].items()}
        return {"active": found["active"], "servers": servers}

    def on_balancer(self, function, *arguments, **keywords):
        """Call ``function`` (str) for this pool on its load balancer; return the answer."""
        return self.jobs.call([self.balancer], function, self.name, *arguments, **keywords)[self.balancer]

    def drain(self, server, by):
        """Let the load balancer ask ``server`` (str) no more, of any pool; return what lb.drain does."""
        return self.jobs.call([self.balancer], "lb.drain", server, by=by)[self.balancer]

    def undrain(self, server):
        """Let the load balancer ask ``server`` (str) again; return what lb.undrain does."""
        return self.jobs.call([self.balancer], "lb.undrain", server)[self.balancer]
