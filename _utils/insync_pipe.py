"""Programs that hand their output to the next one, of which every single one has to succeed."""

import contextlib
import signal
import subprocess
import tempfile


class PipeError(ValueError):
    """A program failed; the message names it, and the line in which it says why."""


def run(commands, source=subprocess.DEVNULL, target=subprocess.DEVNULL, expected="", **options):
    """
    Run ``commands`` (list of lists of str), each with the output of the one before as its input.

    source, target: open files for the first one's input and the last one's output.
    expected (str): what the last line that the first one says has to contain; some end well when they did not.
    options: as subprocess.Popen takes them, for all.
    Raises PipeError about the first that failed; the others are stopped.
    """
    running, said, ended = [], [tempfile.TemporaryFile() for _ in commands], False
    try:
        for number, command in enumerate(commands):
            last = number == len(commands) - 1
            output = target if last else subprocess.PIPE
            running.append(_started(command, source, output, said[number], options))
            if number:
                # Only the next one may hold it, or the one before never hears that its reader is gone.
                running[number - 1].stdout.close()
            source = running[number].stdout
        codes = [process.wait() for process in running]
        ended = True
    finally:
        for process in running if not ended else ():
            process.kill()
            process.wait()
    lines = [_lines(file) for file in said]
    failed = [number for number, code in enumerate(codes) if code]
    # Who writes to one that has failed ends by that: the reason is what the one behind says.
    for number in sorted(failed, key=lambda one: (_nobody_reads(codes[one], lines[one]), one)):
        raise PipeError(f"{commands[number][0]}: {why(lines[number], codes[number])}")
    if expected and (not lines[0] or expected not in lines[0][-1]):
        raise PipeError(f"{commands[0][0]}: it does not say '{expected}' at its end: {why(lines[0], 0)}")


def _nobody_reads(code, lines):
    return code in (-signal.SIGPIPE, 128 + signal.SIGPIPE) or any("roken pipe" in line for line in lines)


def _started(command, source, target, said, options):
    try:
        return subprocess.Popen(command, stdin=source, stdout=target, stderr=said, **options)
    except OSError as exc:
        raise PipeError(f"{command[0]}: {exc.strerror}") from exc


def _lines(file):
    with contextlib.closing(file):
        file.seek(0)
        return [line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]


def why(lines, code):
    """Return the one of ``lines`` (list of str) that is about an error, the last if none is, else the exit ``code``."""
    # Some end with where to report errors.
    told = [line for line in lines if "rror" in line and "https://" not in line]
    return (told or lines or [f"exit code {code}"])[-1][:300]
