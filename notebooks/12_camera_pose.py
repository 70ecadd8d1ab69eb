# ---
# jupyter:
#   jupytext:
#     cell_metadata_filter: tags,mystnb,-all
#     formats: ipynb,py:percent
#     notebook_metadata_filter: kernelspec,jupytext,-all
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Camera pose
#
# A trajectory is compared after the best similarity was taken out; what is left is split into where the camera stood
# and how it moved from frame to frame.
#
# **You will learn** what ATE and RPE measure, what each does not see, how to read the files that the harness writes
# with any trajectory tool, and where a silent mistake hides in the released scripts.
#
# **Needs**: 1 GB of memory and a minute on any computer for the built-in network on synthetic scenes. The real
# benchmark needs its data set, a GPU, and the released weights:
#
# ```bash
# papermill notebooks/12_camera_pose.ipynb mine.ipynb -p benchmark tum -p root data/tum \
#     -p weights vggt,nomask,mask -p out evaluation -p device cuda
# ```
#
# With `out` the predictions are kept, and a second run goes on where the first one stopped.
#
# **The small run** has few frames a sequence, so ATE is smaller than on a real one: few points are easily aligned.

# %% tags=["parameters"]
weights = "vggt-tiny,tiny,page4d-tiny-mask"
benchmark = "synthetic"
root = ""
out = ""
device = "cpu"

# %% tags=["remove-cell"]
import page4d

page4d.check_parameters()

# %%
import page4d
from page4d.evaluate import (
    beside_quoted,
    failures,
    measured_on,
    open_study,
    quoted_rows,
)

studies = [
    open_study("pose", benchmark, protocol, root=root, out=out)
    for protocol in ("standard", "public")
]
results = []
for name in weights.split(","):
    model = page4d.PAGE4D.from_pretrained(name, device=device)
    results += [study.run(model, name) for study in studies]

# %% [markdown]
# ## The numbers
#
# The estimate is moved onto the truth by a similarity (rotation, shift and scale; Umeyama). ATE is then the root mean
# square distance of camera positions. RPE compares each step between neighbouring frames: its translation error in
# the unit of the truth, its rotation error in degrees. evo computes all three. Quoted rows are published ones;
# *unchecked*: not yet compared with the paper's own PDF.

# %%
table = beside_quoted(results, quoted_rows("pose"))
table.reset_index(drop=True).round(3)

# %% tags=["hide-input"]
print(measured_on(results))
print("\n".join(failures(results)) or "no sequence failed")

# %% [markdown]
# ## Trajectories
#
# ATE sees positions only. A camera that turns wrongly at the right place has no ATE, and a drift that comes back has
# little.

# %%
from page4d.evaluate import Trajectory, pose_errors, rigid_inverse

study, label = studies[0], weights.split(",")[-1]
pairs = {}
for sequence in study.sequences()[:6]:
    prediction = page4d.Prediction.load(
        study.predictions(label) / f"{sequence.name}.npz"
    )
    truth = sequence.read_trajectory()
    predicted = Trajectory(rigid_inverse(prediction.cam_from_world), truth.stamps)
    pairs[sequence.name] = (
        truth.positions,
        pose_errors(truth, predicted).aligned.positions,
    )

# %% mystnb={"figure": {"caption": "True and predicted camera positions after alignment, in the two axes in which the truth moves most.", "name": "fig-pose-trajectories"}}
from page4d.viz import trajectory_panels

panels = trajectory_panels(pairs, study.benchmark.unit)

# %% [markdown]
# ## Three answers without a network
#
# "The camera does not move" is an answer too. Its ATE is the spread of the true positions, its RPE the true motion
# between frames. Positions may be drawn at random: the similarity turns and shrinks them until they fit best, so their
# ATE is *below* that of the still camera. And a camera may go straight ahead at constant speed: any line can be turned
# onto any other, so it knows nothing of the clip, and on short clips it is hard to beat. A network has learned poses
# only if it beats all three in every row.

# %%
import numpy as np
import pandas as pd
import torch
from page4d.geometry import rotation_angle_deg


def rms(values):
    return float(np.sqrt(np.mean(np.square(values))))


def standing(truth):
    poses = truth.world_from_camera
    steps = np.linalg.inv(poses[:-1]) @ poses[1:]
    turn = rotation_angle_deg(torch.from_numpy(steps[:, :3, :3])).numpy()
    spread = np.sqrt(truth.positions.var(0).sum())
    return spread, rms(np.linalg.norm(steps[:, :3, 3], axis=1)), rms(turn)


# %%
rng = np.random.default_rng(0)


def at_positions(truth, positions):
    poses = np.tile(np.eye(4), (len(positions), 1, 1))
    poses[:, :3, 3] = positions
    found = pose_errors(truth, Trajectory(poses, truth.stamps))
    return found.ate, found.rpe_trans, found.rpe_rot_deg


def guessed(truth):
    return at_positions(truth, rng.normal(size=(len(truth.stamps), 3)))


def straight_on(truth):
    steps = np.arange(len(truth.stamps))[:, None] * [0.0, 0.0, 1.0]
    # evo wants a path off one line: a millionth of a step does.
    return at_positions(truth, steps + 1e-6 * rng.normal(size=steps.shape))


# %%
truths = [sequence.read_trajectory() for sequence in study.sequences()]
answers = {
    "a camera that never moves": [standing(t) for t in truths],
    "positions at random": [
        np.mean([guessed(t) for _ in range(20)], 0) for t in truths
    ],
    "straight on": [straight_on(t) for t in truths],
}
columns = {who: np.mean(rows, 0) for who, rows in answers.items()}
kinds = ["ate", "rpe_trans", "rpe_rot_deg"]
for name, scores in zip(weights.split(","), results[::2], strict=True):
    columns[name] = [scores.mean[kind] for kind in kinds]
baselines = pd.DataFrame(columns, index=["ATE", "RPE t", "RPE r (degrees)"])
baselines.round(3)

# %% tags=["remove-input"]
from IPython.display import Markdown
from page4d.evaluate import beside_strongest

names = [sequence.name for sequence in study.sequences()]
told, beats_all = [], []
for name, scores in zip(weights.split(","), results[::2], strict=True):
    words, ahead = [], True
    for row, kind, k in zip(baselines.index, kinds, range(3), strict=True):
        values = {
            w: dict(zip(names, np.array(v)[:, k], strict=True))
            for w, v in answers.items()
        }
        who, found = beside_strongest(scores, values, kind)
        words.append(f"{row} beside {who}: {found}")
        ahead &= found.verdict == "better"
    told.append(f"- {name}: {'; '.join(words)}")
    beats_all += [name] * ahead

# %% tags=["remove-input"]
verdict = (
    f"**{', '.join(beats_all) or 'No network'}** beats the three answers in every row. "
)
verdict += "A lower ATE alone does not make a trajectory."
head = "Each network beside the strongest of the three answers, row by row, sequence by sequence:"
Markdown(f"{head}\n\n" + "\n".join(told) + f"\n\n{verdict}")

# %% [markdown]
# ## Files for other tools
#
# Each sequence leaves its trajectory in the TUM order `stamp x y z qx qy qz qw`, with the stamps of the truth. The
# released scripts write the quaternion's `qw` first, which every TUM reader takes for something else;
# `legacy_quaternion_order=true` does the same for tools that were made for those files.

# %%
scores_file = study.scores_file(label)
files = scores_file.parent / f"{scores_file.stem}-files"
first = results[-2].sequences[0].name
print("\n".join(sorted(p.relative_to(files).as_posix() for p in files.rglob("*"))[:8]))
print((files / first / "pred_traj.txt").read_text().splitlines()[0])

# %% [markdown]
# From a shell, `evo_ape tum gt_traj.txt pred_traj.txt -as` gives the ATE of the table.
#
# ## A silent mistake
#
# The released pose script for DyCheck lists every image of a folder, those of the still validation cameras too, and
# compares with the moving camera's poses. Where the counts differ, positions in a list are compared with frame
# numbers, and the few that agree by chance are scored. The next cell does the same with thirty predicted poses on a
# circle and true poses numbered by tens, for networks from nearly perfect to useless.

# %%
rng = np.random.default_rng(0)
angle = np.linspace(0, 2 * np.pi, 30)
circle = np.tile(np.eye(4), (30, 1, 1))
circle[:, :3, 3] = np.stack((np.cos(angle), np.sin(angle), 0.1 * angle), 1)
numbers = np.arange(30.0)
truth, tens = Trajectory(circle, numbers), Trajectory(circle[:20], 10 * numbers[:20])
rows = {}
for noise in (0.01, 0.05, 0.2, 0.5):
    noisy = circle.copy()
    noisy[:, :3, 3] += rng.normal(0, noise, (30, 3))
    predicted = Trajectory(noisy, numbers)
    right, wrong = pose_errors(truth, predicted), pose_errors(tens, predicted, True)
    rows[noise] = (right.ate, right.pairs, wrong.ate, wrong.pairs)
columns = ["ATE, by name", "poses", "ATE, as released", "poses paired"]
pd.DataFrame(rows, index=columns).T.rename_axis("noise of the positions").round(3)

# %% [markdown]
# Paired by name, the ATE follows the noise. Paired as released it does not know the network at all, and for a useless
# one it is the better number. `standard` pairs by name and refuses what has no partner.

# %% [markdown]
# ## Recap
#
# - ATE sees where cameras stood, after the best similarity; RPE sees each step and each turn.
# - On short clips answers without any network are strong. Beside them, a table begins to mean something.
# - Pairing decides: poses are compared by name or time stamp, never by their rank in a list.
#
# ## Exercises
#
# **1.** Multiply all predicted positions by ten. Which of the errors changes?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
larger = circle.copy()
larger[:, :3, 3] *= 10
found = pose_errors(truth, Trajectory(larger, numbers))
print(f"ATE {found.ate:.1e}, RPE t {found.rpe_trans:.1e}")
# None: the similarity takes the scale out before anything is compared.

# %% [markdown]
# **2.** Let the camera's positions be exact and turn it by one degree more about the vertical axis in every frame. What
# does each error say?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
from scipy.spatial.transform import Rotation

turning = circle.copy()
more = Rotation.from_euler("y", np.arange(30)[:, None], degrees=True).as_matrix()
turning[:, :3, :3] = turning[:, :3, :3] @ more
found = pose_errors(truth, Trajectory(turning, numbers))
print(f"ATE {found.ate:.1e}, RPE r {found.rpe_rot_deg:.2f} degrees a step")
# Positions do not know where a camera looks; the step of one degree is all in RPE r.

# %% [markdown]
# **3.** A drift: each position is off by 2 % of the way so far. Which error grows with the length of the clip?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
for length in (10, 20, 30):
    part = Trajectory(circle[:length], numbers[:length])
    drifting = circle[:length].copy()
    drifting[:, 2, 3] += 0.02 * np.arange(length)
    found = pose_errors(part, Trajectory(drifting, numbers[:length]))
    print(f"{length} frames: ATE {found.ate:.3f}, RPE t {found.rpe_trans:.3f}")

# %% [markdown]
# ## Further reading
#
# {cite:t}`sturm2012tum` for both errors, {cite:t}`zhang2018trajectory` for what an alignment does to them, and
# {cite:t}`grupp2017evo` for the tool that computes them here.
