"""How numba compiles a function that only kernels call, and that each of them takes in whole.

Numba optimises every function together with all that it calls, and makes machine code of it, so that Python or a
pointer can call it. Nobody calls a part of a kernel that way: its machine code would be thrown away, and what a part
calls would be optimised once more at each level. So a part stops at LLVM's intermediate code, of its own body alone;
the kernel optimises the whole, which saves a quarter of the time to compile.
"""

from collections import Counter

from numba import _dynfunc  # type: ignore[attr-defined]  # compiled, and so without types
from numba.core import ir
from numba.core.codegen import CPUCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder, PassManager, _LowerResult
from numba.core.compiler_machinery import register_pass
from numba.core.lowering import Lower
from numba.core.typed_passes import NativeLowering


class DirectLower(Lower):
    """Numba's translation of a function into LLVM's code, without a place in memory for what is assigned once.

    Numba keeps such a variable in memory where another block uses it, and has LLVM find out that it need not. A named
    tuple of a hundred arrays is seven hundred numbers, which are stored once and loaded at each use of a field.
    """

    def _find_singly_assigned_variable(self) -> None:
        """Add the variables that are assigned in one place, which numba has put before all uses.

        A variable that has a value on one of two ways alone it gives another name, assigned on both, where they meet.
        """
        super()._find_singly_assigned_variable()
        assigned = Counter(
            statement.target.name
            for block in self.func_ir.blocks.values()
            for statement in block.find_insts(ir.Assign)
        )
        once = {name for name, times in assigned.items() if times == 1}
        self._singly_assigned_vars |= once


class PartLibrary(CPUCodeLibrary):
    """Intermediate code of a part and of what it calls, for kernels to be linked with."""

    def _optimize_final_module(self) -> None:
        """Leave what is called to the kernel."""

    def _finalize_final_module(self) -> None:
        """Make no machine code."""
        self._finalize_dynamic_globals()
        self._finalized = True


@register_pass(mutates_CFG=True, analysis_only=False)
class KernelLowering(NativeLowering):
    """Numba's lowering by `DirectLower`."""

    _name = "kernel_lowering"

    @property
    def lowering_class(self) -> type[Lower]:
        """What translates."""
        return DirectLower


@register_pass(mutates_CFG=True, analysis_only=False)
class PartLowering(KernelLowering):
    """The same, into a `PartLibrary`."""

    _name = "part_lowering"

    def run_pass(self, state) -> bool:
        """Lower a function; callers know it by an object of Python, which would fail if it were called."""
        state.library = PartLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        state.flags.no_compile = True  # numba's word for: intermediate code alone
        super().run_pass(state)
        lowered = state["cr"]
        description = lowered.fndesc
        name = description.qualname.split(".")[-1]
        known_by = _dynfunc.make_function(
            description.lookup_module(), name, "", 0, lowered.env, (state.library,)
        )
        state.targetctx.insert_user_function(known_by, description, [state.library])
        state["cr"] = _LowerResult(description, lowered.call_helper, known_by, lowered.env)
        return True


class KernelCompiler(CompilerBase):
    """Numba's passes of a function without Python objects, with another lowering."""

    lowering: type[NativeLowering] = KernelLowering

    def define_pipelines(self) -> list[PassManager]:
        """Return the only pipeline."""
        passes = DefaultPassBuilder.define_nopython_pipeline(self.state)
        passes.passes[:] = [
            (self.lowering if kind is NativeLowering else kind, said)
            for kind, said in passes.passes
        ]
        passes.finalize()
        return [passes]


class PartCompiler(KernelCompiler):
    """The same for a part."""

    lowering = PartLowering
