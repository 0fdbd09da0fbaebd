"""How numba compiles a function that only kernels call, and that each of them takes in whole.

Numba optimises every function together with all that it calls, and makes machine code of it, so that Python or a
pointer can call it. Nobody calls a part of a kernel that way: its machine code would be thrown away, and what a part
calls would be optimised once more at each level. So a part stops at LLVM's intermediate code, of its own body alone;
the kernel optimises the whole, which saves a quarter of the time to compile.
"""

from numba import _dynfunc  # type: ignore[attr-defined]  # compiled, and so without types
from numba.core.codegen import CPUCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder, PassManager, _LowerResult
from numba.core.compiler_machinery import register_pass
from numba.core.typed_passes import NativeLowering


class PartLibrary(CPUCodeLibrary):
    """Intermediate code of a part and of what it calls, for kernels to be linked with."""

    def _optimize_final_module(self) -> None:
        """Leave what is called to the kernel."""

    def _finalize_final_module(self) -> None:
        """Make no machine code."""
        self._finalize_dynamic_globals()
        self._finalized = True


@register_pass(mutates_CFG=True, analysis_only=False)
class PartLowering(NativeLowering):
    """Numba's lowering, into a `PartLibrary`."""

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


class PartCompiler(CompilerBase):
    """Numba's passes of a function without Python objects, the last ones for a part."""

    def define_pipelines(self) -> list[PassManager]:
        """Return the only pipeline."""
        passes = DefaultPassBuilder.define_nopython_pipeline(self.state)
        passes.passes[:] = [
            (PartLowering if kind is NativeLowering else kind, said) for kind, said in passes.passes
        ]
        passes.finalize()
        return [passes]
