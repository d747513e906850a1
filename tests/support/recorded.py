"""What a restart must come back to: the mode last configured, or the one in doubt when the server
died, and never an older sequence or generation."""

DURABLE = ("aof", "hybrid", "encrypt")  # encrypt: over one of the others


class Recorded:
    """Follows one store by the replies to Configure, Save and Status. `mark` is the caller's note
    of the moment at which a checkpoint was requested: the checkpoint contains everything answered
    by then."""

    def __init__(self, status):
        self.doubt = None  # (plugin, options, mark) of a Configure without an answer
        self.checkpoint = None  # mark of the last checkpoint in this life of the server
        self.saved_sequence = 0
        self._adopt(status)

    def _adopt(self, answer):
        self.plugin, self.options = answer.plugin, dict(answer.options)
        self.generation, self.sequence = answer.generation, answer.version

    def durable(self):
        return self.plugin in DURABLE

    def configuring(self, plugin, options, mark):
        self.doubt = (plugin, dict(options), mark)

    def configured(self, answer):
        """The answer to that Configure. None, or what is wrong with it."""
        plugin, options, mark = self.doubt
        error = None
        if answer.plugin != plugin or not options.items() <= dict(answer.options).items():
            error = f"Configure to {plugin} {options} answered {answer.plugin} {answer.options}"
        elif answer.generation < self.generation:
            error = f"generation {answer.generation} after {self.generation}"
        elif answer.version < self.sequence:
            error = f"sequence {answer.version} after {self.sequence}"
        elif answer.generation != self.generation:
            self.checkpoint = mark  # a fresh generation; otherwise there was nothing to do
        self.doubt = None
        self._adopt(answer)
        return error

    def saved(self, answer, mark):
        self.checkpoint = mark
        self.saved_sequence = max(self.saved_sequence, answer.version)
        self.sequence = max(self.sequence, answer.version)

    def restarted(self, status):
        """Adopts what a restarted server says of itself. None, or what is wrong with it."""
        if status.generation < self.generation:
            return f"generation {status.generation} after {self.generation}"
        if not self._is_last(status) and not self._is_doubt(status):
            return (f"came back in {status.plugin} {dict(status.options)}, generation "
                    f"{status.generation}; configured was {self.plugin} {self.options}, generation "
                    f"{self.generation}; in doubt {self.doubt and self.doubt[:2]}")
        if not self._is_last(status):
            self.checkpoint = self.doubt[2]
        sequence = {"none": 0, "snapshot": self.saved_sequence}.get(status.plugin, self.sequence)
        if status.version < sequence:
            return f"sequence {status.version} after {sequence}"
        self.doubt = None
        # Not that of the status: a key may have expired since the start, which is not saved.
        self.saved_sequence = max((file.version for file in status.recovery.files), default=0)
        self._adopt(status)
        return None

    def new_life(self):
        """The state found has been checked; the server goes on from here."""
        self.checkpoint = None

    def _is_last(self, status):
        return (status.plugin == self.plugin and dict(status.options) == self.options
                and status.generation == self.generation)

    def _is_doubt(self, status):
        if not self.doubt:
            return False
        plugin, options, _ = self.doubt
        return (status.plugin == plugin and options.items() <= dict(status.options).items()
                and status.generation > self.generation)
