"""The processes of one job: one alone, or those that torchrun started on one machine or many.

The first process leads. It runs the whole work as it would alone, so that checks, locks, messages
and files are those of one process; the others wait, and take part where it asks them to. What one
of them meets is raised in the first, and what ends the first ends all.
"""

from __future__ import annotations

import pickle
from contextlib import contextmanager, suppress
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from torch import nn

T = TypeVar("T")

_SHARED = "met_by_all"  # attribute of an error that every process raises at the same point
_END, _ITEMS, _RUN = "end", "items", "run"
_LAST = "last"  # in place of an item: there are no more


class RanksError(Exception):
    """Processes that no longer work together: one has ended, or left the others waiting."""


class Ranks:
    """This process among those of its job.

    Args:
        rank: of this process, from 0
        count: of processes
        group: of torch.distributed that they talk through, on the CPU; None for one process
        store: that outlives each of them; None where another program set them up
    """

    def __init__(self, rank: int = 0, count: int = 1, group: Any = None, store: Any = None) -> None:
        self.rank, self.count = rank, count
        self._group, self._store = group, store
        self._leads = False  # whether the others wait to be asked
        self._apart = False  # whether they can no longer be talked to

    @property
    def first(self) -> bool:
        """Whether this is the process that leads, writes and reports."""
        return self.rank == 0

    def lead(self, work: Callable[[], T]) -> T:
        """Let the first process work while the others wait for their part.

        Args:
            work: called in the first process alone; may use `run` and `interleave`

        Returns:
            what it gave, in every process

        Raises:
            Exception: what it raised, in every process
            RanksError: another process has ended
        """
        if self.count == 1 or self._leads:
            return work()
        if not self.first:
            result: T = self._serve()
            return result
        self._leads = True
        try:
            result = work()
        except RanksError:
            raise
        except Exception as error:
            setattr(error, _SHARED, True)
            self._tell_end(None, error)
            raise
        finally:
            self._leads = False
        self._tell_end(result, None)
        return result

    def run(self, work: Callable[..., T], **for_first: Any) -> T:
        """Call a function in every process; it may use all that processes do in step.

        Args:
            work: can be pickled; outside `lead` it is called as it is
            for_first: further arguments in the first process, where the others take defaults

        Returns:
            what it gave in the first process

        Raises:
            Exception: one that all processes raised at once, as `together` has it
            RanksError: one of them failed alone, or has ended
        """
        if self.count == 1 or not self._leads:
            return work(**for_first)
        self._send((_RUN, _pack(work)))
        self._leads = False
        try:
            return self._in_step(partial(work, **for_first))
        finally:
            self._leads = True

    def interleave(self, make: Callable[[int, int], Iterator[T]]) -> Generator[T]:
        """Yield in the first process what all processes make, in turn: an item of each.

        Close the iterator where it is not read to its end, as `contextlib.closing` does.

        Args:
            make: can be pickled; called in every process with its rank and their number, yields
                every `number`-th item of what one process would yield, beginning with item `rank`

        Raises:
            Exception: what making an item raised, in whichever process
            RanksError: another process has ended
        """
        if self.count == 1 or not self._leads:
            yield from make(0, 1)
            return
        self._send((_ITEMS, _pack(make)))
        items = make(0, self.count)
        try:
            while True:
                own = _attempt(partial(next, items))
                self._send(True)
                told = self._gather(None) or ()
                for item, error in (own, *told[1:]):
                    if error is not None:
                        raise error
                    if isinstance(item, str) and item == _LAST:
                        return
                    yield item
        finally:
            if not self._apart:
                with suppress(RanksError):  # there is an error already, or the next call meets it
                    self._send(False)

    def wrap(self, model: nn.Module) -> nn.Module:
        """Make a network's gradients the mean over all processes."""
        if self.count == 1:
            return model
        from torch.nn.parallel import DistributedDataParallel

        device = next(model.parameters()).device
        return DistributedDataParallel(model, [device] if device.type == "cuda" else None)

    def sum(self, *numbers: float) -> list[float]:
        """Add numbers up over all processes, in step."""
        if self.count == 1:
            return list(numbers)
        import torch
        from torch import distributed

        total = torch.tensor(numbers, dtype=torch.float64)
        with self._linked():
            distributed.all_reduce(total, group=self._group)
        sums: list[float] = total.tolist()
        return sums

    def any(self, flag: bool) -> bool:
        """Tell in step whether any process says yes."""
        return self.sum(flag)[0] > 0

    def union(self, entries: dict[str, str]) -> dict[str, str]:
        """Merge the entries of all processes, in step."""
        if self.count == 1:
            return entries
        return {key: value for part in self._gather_all(entries) for key, value in part.items()}

    @contextmanager
    def together(self) -> Iterator[None]:
        """Raise in every process, in step, what the first of those that fail met in a block.

        Within the block no process may wait for another.
        """
        if self.count == 1:
            yield
            return
        own: Exception | None = None
        try:
            yield
        except RanksError:
            raise
        except Exception as caught:
            own = caught
        if self.any(own is not None):
            told = self._gather_all(None if own is None else _portable(own))
            rank, error = next((n, each) for n, each in enumerate(told) if each is not None)
            error = own if rank == self.rank and own is not None else error
            setattr(error, _SHARED, True)
            raise error

    def speaks(self) -> bool:
        """Tell whether this process is the first of all to ask: it tells what ended them."""
        if self._store is None:
            return self.first
        try:
            return bool(self._store.add("wsol/end", 1) == 1)
        except RuntimeError:  # the store has ended with the process that kept it
            return False

    def leave(self) -> None:
        """Say goodbye to the others, unless one of them has gone without."""
        if self.count > 1 and not self._apart:
            from torch import distributed

            with suppress(RuntimeError):  # nobody hangs up while another still listens
                distributed.barrier(group=self._group)
            distributed.destroy_process_group()

    def _serve(self) -> Any:
        """Take part in what the first process asks for, until it ends."""
        while True:
            kind, content = self._hear()
            if kind == _RUN:
                with suppress(_SharedError):
                    self._in_step(partial(_call, content))
            elif kind == _ITEMS:
                self._give_items(content)
            else:
                result, error = _unpack(content)
                if error is not None:
                    setattr(error, _SHARED, True)
                    raise error
                return result

    def _give_items(self, content: bytes) -> None:
        """Make items for the first process while it wants them."""
        items: Iterator[Any] | None = None

        def make() -> Any:
            nonlocal items
            if items is None:
                items = _unpack(content)(self.rank, self.count)
            return next(items)

        while True:
            item, error = _attempt(make)
            if not self._hear():
                break
            self._gather((item, None if error is None else _portable(error)))
        if items is not None and hasattr(items, "close"):
            items.close()

    def _in_step(self, work: Callable[[], T]) -> T:
        """Work in step with the others; an error that they do not share leaves them waiting."""
        try:
            return work()
        except RanksError:
            raise
        except Exception as error:
            if getattr(error, _SHARED, False):
                if self.first:
                    raise
                raise _SharedError from error
            self._apart = True
            what = " ".join(str(error).split())
            raise RanksError(
                f"process {self.rank} of {self.count}: {type(error).__name__}: {what}"
            ) from error

    def _tell_end(self, result: Any, error: Exception | None) -> None:
        """Let the others go on with what the first process's work gave."""
        if not self._apart:
            told = None if error is None else _portable(error)
            with suppress(RanksError):  # the work is done without those that have gone
                self._send((_END, _pack((result, told))))

    def _send(self, value: Any) -> None:
        from torch import distributed

        with self._linked():
            distributed.broadcast_object_list([value], src=0, group=self._group)

    def _hear(self) -> Any:
        from torch import distributed

        values = [None]
        with self._linked():
            distributed.broadcast_object_list(values, src=0, group=self._group)
        return values[0]

    def _gather(self, value: Any) -> list[Any] | None:
        """Give a value to the first process, which gets those of all."""
        from torch import distributed

        values = [None] * self.count if self.first else None
        with self._linked():
            distributed.gather_object(value, values, dst=0, group=self._group)
        return values

    def _gather_all(self, value: Any) -> list[Any]:
        from torch import distributed

        values = [None] * self.count
        with self._linked():
            distributed.all_gather_object(values, value, group=self._group)
        return values

    @contextmanager
    def _linked(self) -> Iterator[None]:
        """Say of a broken connection what it means."""
        if self._apart:
            raise RanksError("the processes of this job no longer work together")
        try:
            yield
        except RuntimeError as error:
            self._apart = True
            raise RanksError(
                "another process of this job has ended, or no longer answers; start all of them "
                "again to go on from what is saved"
            ) from error
        except BaseException:  # interrupted in the middle of a message
            self._apart = True
            raise


class _SharedError(Exception):
    """An error that the first process raises too: the others go on waiting."""


def _attempt(make: Callable[[], Any]) -> tuple[Any, Exception | None]:
    """Make an item, or tell that there is none left, or why it cannot be made."""
    try:
        return make(), None
    except StopIteration:
        return _LAST, None
    except RanksError:
        raise
    except Exception as error:
        return None, error


def _portable(error: Exception) -> Exception:
    """Give an error itself if another process can be told it, else its words."""
    try:
        again = pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error if str(again) == str(error) else RuntimeError(str(error))


def _call(content: bytes) -> Any:
    return _unpack(content)()


def _pack(value: Any) -> bytes:
    """Write a value down for other processes, networks too.

    Raises:
        TypeError: a part of it cannot be pickled
    """
    import torch

    file = BytesIO()
    try:
        torch.save(value, file)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise TypeError(
            "Expected networks, map methods and transforms that can be pickled, as several "
            f"processes share them, but {error}"
        ) from error
    return file.getvalue()


def _unpack(content: bytes) -> Any:
    """Read what `_pack` wrote, in memory of the CPU."""
    import torch

    return torch.load(BytesIO(content), map_location="cpu", weights_only=False)
