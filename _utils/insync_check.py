"""Everything that can be told wrong about a checkout and a site folder before a server sees them."""

import pathlib
import sys

import insync_backup_keys
import insync_check_roles
import insync_hg
import insync_inventory
import insync_operators
import insync_releases
import insync_secrets
import insync_settings
import insync_site
import insync_tls


def problems(checkout, site):
    """
    Return what is wrong, a line each; an empty list if nothing is.

    checkout (str or pathlib.Path): the root of this repository.
    site (str or pathlib.Path): the site folder.
    """
    checkout = pathlib.Path(checkout)
    directory, roles_dir = checkout / "pillar" / "inventory", checkout / "salt" / "role"
    found = insync_inventory.problems(directory, roles_dir=roles_dir)
    if found:
        return found
    try:
        inventory = insync_inventory.load(directory)
    except insync_inventory.InventoryError as exc:
        # The files are in order: it is who was made the primary of a database since.
        return [str(exc)]
    known = sorted(insync_inventory.known_roles(inventory, roles_dir))
    return _site_problems(inventory, known, [str(checkout / "pillar"), str(site)])


def _site_problems(inventory, known, roots):
    """What is there of a role that nobody plays any more, or yet, may stay."""
    checks = [lambda: insync_operators.load(roots)]
    checks += [lambda: insync_hg.load(roots)] if "hg_server" in insync_inventory.played(inventory) else []
    apps, required = [], insync_site.read(roots, insync_secrets.REQUIRED)
    for environment in insync_inventory.environments(inventory):
        played = insync_inventory.roles_in(inventory, environment)
        providers = insync_inventory.providers(inventory, environment)
        checks.append(lambda where=(played, environment, providers): insync_secrets.for_roles(roots, *where))
        checks.append(lambda where=(played, environment): insync_releases.for_roles(roots, *where))
        apps += [insync_inventory.application_name(environment, app) for app in insync_releases.apps_of(roots, known)]
    checks.append(lambda: insync_settings.check(roots, known))
    found = [line for check in checks for line in _refused(check)]
    for environment in insync_inventory.environments(inventory):
        found += _surplus(roots, insync_secrets.folder(environment), [role for role in required if role in known])
    found += _surplus(roots, insync_releases.FOLDER, apps)
    found += insync_tls.problems(inventory, roots[-1])
    found += insync_backup_keys.problems(roots, inventory)
    return found or _role_problems(roots, inventory)


def _role_problems(roots, inventory):
    """These read what has been looked at before."""
    try:
        return insync_check_roles.problems(roots, inventory)
    except insync_site.SiteError as exc:
        return [str(exc)]


def _refused(check):
    try:
        check()
    except insync_site.SiteError as exc:
        yield str(exc)


def _surplus(roots, folder, known):
    """Files that nobody can ask for: nobody would notice that they are stale, or misspelt."""
    files = sorted(path for path in pathlib.Path(roots[-1], folder).glob("*.*") if path.stem not in known)
    return [f"{folder}/{path.name}: nothing needs it; what is needed: {', '.join(known)}" for path in files]


def main(checkout, site):
    """Print the problems to standard error; return the exit code."""
    found = problems(checkout, site)
    for line in found:
        print(line, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
