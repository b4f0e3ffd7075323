"""`make fleet`: from whatever is there to a converged fleet, and a table that says so."""

import insync_inventory

from lab import apt, boot, clients, cloud, converge, master, network, podman, preflight, report, site, standins
from lab.errors import LabError
from lab.images import Images
from lab.paths import CACHE, KEYS, PREFIX, RUNS, SITE
from lab.publish import Publisher
from lab.settings import Settings


def up(names, progress, command):
    """
    Boot and converge the fleet.

    names (list of str): servers; all if empty. ct1 always belongs to it.
    progress (Progress): what the person sees.
    command (list of str): for the record.
    Returns the exit code: 0 if nothing failed anywhere. The run is recorded either way.
    """
    results = {}
    outcome = "interrupted"
    try:
        outcome = _up(names, progress, results)
    except LabError as exc:
        outcome = str(exc)
        raise
    finally:
        report.write(RUNS, command, progress.phases, outcome, results)
    return 0 if outcome == "ok" else 1


def _up(names, progress, results):
    with progress.phase("checks"):
        preflight.check_root()
        preflight.check_engine()
        settings = Settings()
        servers = settings.servers(names)
        images = Images(settings, progress)
        _check_machine(settings, images, progress)
    with progress.phase("images"):
        images.build()
        standins.build()
    with progress.phase("boot", servers):
        made, started = _boot(settings, servers, images, progress)
    salt = master.Master(settings, progress)
    with progress.phase("master"):
        deployed = salt.deploy(images.wheelhouse)
        salt.forget(made - {settings.master})
        if deployed:
            salt.prepare()
    with progress.phase("minions"):
        known = salt.accepted()
        failed = salt.enrol(servers)
        ready = [server for server in servers if server not in failed]
        if started:
            salt.wait_for(ready)
    results.update({server: converge.Result(problem=reason) for server, reason in failed.items()})
    # The master's own minion is in step since it was prepared, and a new one since it was accepted.
    behind = [server for server in ready if server in known - {settings.master}]
    if deployed and behind:
        with progress.phase("sync", behind):
            salt.sync(behind)
    publisher = Publisher(settings, images, progress)
    with progress.phase("highstate", ready):
        for wave in insync_inventory.waves(settings.inventory):
            servers_now = [server for server in wave if server in ready]
            found = converge.highstate(servers_now, progress) if servers_now else {}
            results.update(found)
            publisher.after(found)
    return _tell(settings, servers, results, progress)


def _check_machine(settings, images, progress):
    sources = apt.sources()
    network.check_free(settings.subnets, sources)
    preflight.check_names({box.container for box in settings.boxes(settings.inventory["hosts"])})
    gib = settings.lab["disk_gib"] if images.missing() else 1
    preflight.check_space(gib, preflight.storage())
    preflight.raise_inotify(progress.say)


def _boot(settings, servers, images, progress):
    there = podman.containers()
    if PREFIX + settings.master not in there:
        old = [PREFIX + name for name in settings.inventory["hosts"] if PREFIX + name in there]
        if old:
            progress.say(f"{settings.master} is made anew: the others go too, they trust the master that is gone")
            podman.remove(*old)
    network.create(settings.subnets)
    (CACHE / "apt").mkdir(parents=True, exist_ok=True)
    made, started = boot.boot(settings.boxes(servers), images.names, progress)
    progress.say(f"{len(servers)} servers run, {len(made & set(servers))} of them new; and insync-world, insync-cloud")
    site.write(SITE, KEYS)
    cloud.configure(settings, progress)
    clients.publish(settings.lab, progress)
    master.operators_in_world(settings.lab["operators"])
    return made & set(servers), started & set(servers)


def _tell(settings, servers, results, progress):
    roles = {server: settings.roles(server) for server in servers}
    bad = [server for server in servers if report.failures(server, results.get(server))]
    progress.show("\n" + "\n".join([*report.table(roles, results), "", report.summary(roles, results)]))
    seconds = ", ".join(f"{name} {value:.0f} s" for name, value in progress.phases.items())
    progress.show(f"{seconds}\n")
    if bad:
        progress.show(f"Next: make shell HOST={bad[0]}; mend the state; make fleet goes on from here")
        return f"failed: {', '.join(bad)}"
    check = """make salt ARGS="'*' state.highstate test=True\""""
    for command in (check, f"make shell HOST={servers[-1]}", "make down"):
        progress.show(f"Next: {command}")
    return "ok"
