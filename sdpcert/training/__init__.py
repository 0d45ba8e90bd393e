"""Training of networks of the toolkit's layers: data, configurations, losses, the loop, and run folders."""

from sdpcert.training.config import load_config as load_config
from sdpcert.training.datasets import Data as Data
from sdpcert.training.datasets import Description as Description
from sdpcert.training.datasets import load_data as load_data
from sdpcert.training.launch import train as train
from sdpcert.training.listing import Preset as Preset
from sdpcert.training.listing import described_presets as described_presets
from sdpcert.training.loop import TrainingInterrupted as TrainingInterrupted
from sdpcert.training.margins import logits_and_radii as logits_and_radii
from sdpcert.training.models import backbone_constant as backbone_constant
from sdpcert.training.models import build_model as build_model
from sdpcert.training.presets import preset_names as preset_names
from sdpcert.training.runs import LoadedRun as LoadedRun
from sdpcert.training.runs import is_finished as is_finished
from sdpcert.training.runs import load_run as load_run
from sdpcert.training.runs import reached as reached
from sdpcert.training.settings import Config as Config
