"""What pods of a pipeline get on a cluster: image, memory, accelerator, volume, retries.

On one machine none of it applies, and `Settings()` sets nothing.
"""

import dataclasses
import re

from kfp import dsl

from goldseam.errors import InvalidConfig, MissingExtra
from goldseam.workspace import RUN_VARIABLE

WORKSPACE = "/mnt/goldseam"
PINNED = re.compile(r".+@sha256:[0-9a-f]{64}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """How tasks run on a cluster.

    Attributes:
        cluster: whether they do; without it no resources are asked for.
        image: image of all tasks, pinned by digest; None for that of the components.
        gpu: accelerators of each learning task; True is one, 0 none.
        gpu_type: resource name of the accelerator.
        workspace: where the workspace volume is mounted.
        workspace_claim: name of the persistent volume claim of the workspace; None for no volume.
        retries: how often a learning task that died is started again; with a workspace volume it
            goes on from its checkpoint.

    Raises:
        InvalidConfig: the image is not pinned by digest.
        MissingExtra: a claim is given, and kfp-kubernetes is not installed.
    """

    cluster: bool = False
    image: str | None = None
    gpu: int = 0
    gpu_type: str = "nvidia.com/gpu"
    workspace: str = WORKSPACE
    workspace_claim: str | None = None
    retries: int = 2

    def __post_init__(self) -> None:
        if self.image is not None and not PINNED.fullmatch(self.image):
            raise InvalidConfig(
                f"image '{self.image}' is not pinned by digest.",
                remedy="Write name@sha256:…, as 'podman inspect --format {{.Digest}}' or the "
                "registry shows it: behind a tag the code can change while cached outputs stay.",
            )
        if self.workspace_claim is not None:
            try:
                import kfp.kubernetes  # noqa: F401
            except ImportError as error:
                raise MissingExtra("kfp-kubernetes", "kubeflow", "A workspace volume") from error

    def light(self, task: dsl.PipelineTask, *, cached: bool = True) -> dsl.PipelineTask:
        """Settings of a task that reads tables and writes pages."""
        return self._task(task, cpu="1", memory="3Gi", cached=cached)

    def learning(self, task: dsl.PipelineTask, *, cached: bool = True) -> dsl.PipelineTask:
        """Settings of a task that runs a model: it is worth an accelerator and a second try."""
        self._task(task, cpu="2", memory="4Gi", cached=cached)
        if self.cluster and self.gpu:
            task.set_accelerator_type(self.gpu_type).set_accelerator_limit(int(self.gpu))
        if self.cluster and self.retries:
            task.set_retry(self.retries, backoff_duration="30s")
        return task

    def _task(
        self, task: dsl.PipelineTask, *, cpu: str, memory: str, cached: bool
    ) -> dsl.PipelineTask:
        task.set_caching_options(enable_caching=cached)
        if not self.cluster:
            return task
        task.set_cpu_request(cpu).set_memory_request(memory).set_memory_limit(memory)
        if self.image is not None:
            task.set_container_image(self.image)
            task.set_env_variable("GOLDSEAM_IMAGE", self.image)
        if self.workspace_claim is not None:
            from kfp import kubernetes

            kubernetes.mount_pvc(task, self.workspace_claim, self.workspace)
            # every pod carries the run's id as a label; see goldseam.workspace.current_run
            kubernetes.use_field_path_as_env(
                task, RUN_VARIABLE, "metadata.labels['pipeline/runid']"
            )
        return task
