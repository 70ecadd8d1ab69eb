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
# **You will learn** what ATE and RPE measure and what each does not see, why nearly any answer looks decent on a short
# clip, how to tell from a picture of a trajectory that a network is guessing, how to read the files that the harness
# writes with any trajectory tool, and where a silent mistake hides in the released scripts.
#
# **Needs**: 1 GB of memory and a minute or two on any computer for the built-in networks on synthetic scenes. The real
# benchmark needs its data set, a GPU, and the released weights:
#
# ```bash
# papermill notebooks/12_camera_pose.ipynb mine.ipynb -p benchmark tum -p root data/tum \
#     -p weights vggt,nomask,mask -p out evaluation -p device cuda
# ```
#
# With `out` the predictions are kept, and a second run goes on where the first one stopped.
#
# **The small run** has eight frames per sequence. So few points are easily aligned, and an ATE says little without the
# answers beside it that need no network. Of fewer than eight, no ATE is shown at all.

# %% tags=["parameters"]
weights = "vggt-tiny,tiny,page4d-tiny-mask"
benchmark = "synthetic"
root = ""
out = ""
device = "cpu"

# %% tags=["remove-cell"]
import page4d

page4d.check_parameters()

# %% [markdown]
# ## Five wrong trajectories, before any formula
#
# Pictures do not say where the world's origin is, which way its axes point, or how long a metre is. A trajectory that is
# right in everything else must not lose a point for that, so every benchmark first moves the estimate onto the truth by
# the **similarity** (one rotation, one shift, one scale) that fits best. What that step forgives, and what the errors
# behind it see, shows on mistakes that we make ourselves. The true camera below walks thirty steps round a circle of
# radius 1 and climbs a little. Then the walk is spoiled in five ways: another origin, axes and unit; a random error in
# each position; the same size of error growing steadily from nothing, which is called **drift**; a camera that stands
# where it should and looks a degree further astray in each frame; and one frame of the thirty that is far off. The table
# has their errors, {numref}`fig-pose-spoiled` the walks.

# %%
import numpy as np
from page4d.evaluate import Trajectory, pose_errors
from scipy.spatial.transform import Rotation

rng = np.random.default_rng(0)
steps, numbers = np.arange(30), np.arange(30.0)
angle = 2 * np.pi * steps / 29
circle = np.tile(np.eye(4), (30, 1, 1))
circle[:, :3, 3] = np.stack((np.cos(angle), np.sin(angle), 0.1 * angle), 1)
truth = Trajectory(circle, numbers)

# %%
spoiled = {
    name: circle.copy()
    for name in ("other axes", "jitter", "drift", "looks astray", "one outlier")
}
axes = Rotation.from_euler("xyz", (20, 70, -40), degrees=True).as_matrix()
spoiled["other axes"][:, :3] = axes @ circle[:, :3]
spoiled["other axes"][:, :3, 3] = 10 * spoiled["other axes"][:, :3, 3] + 5
spoiled["jitter"][:, :3, 3] += rng.normal(0, 0.1, (30, 3))
spoiled["drift"][:, 0, 3] += 0.6 * steps / 29
astray = Rotation.from_euler("y", steps[:, None], degrees=True).as_matrix()
spoiled["looks astray"][:, :3, :3] = circle[:, :3, :3] @ astray
spoiled["one outlier"][15, 0, 3] += 1

# %%
import pandas as pd

seen = {
    name: pose_errors(truth, Trajectory(poses, numbers))
    for name, poses in spoiled.items()
}
kinds = ["ate", "rpe_trans", "rpe_rot_deg"]
heads = ["ATE", "RPE t", "RPE r (degrees)"]
rows = {name: [getattr(found, kind) for kind in kinds] for name, found in seen.items()}
# Adding 0.0 turns a rounded -0.0 into 0.
(pd.DataFrame(rows, index=heads).T + 0.0).round(3)

# %% mystnb={"figure": {"caption": "The spoiled walks seen from above, after the similarity. Grey: the truth; blue: the aligned estimate. Two of them lie on the truth: other axes are taken out by the similarity, and where a camera looks is not drawn.", "name": "fig-pose-spoiled"}} tags=["hide-input"]
import matplotlib.pyplot as plt

figure, axes = plt.subplots(1, 5, figsize=(9, 2.3), layout="constrained")
for axis, (name, found) in zip(axes, seen.items(), strict=True):
    axis.plot(*circle[:, :2, 3].T, color="0.6", lw=3)
    axis.plot(*found.aligned.positions[:, :2].T, "o-", color="tab:blue", ms=2, lw=1)
    axis.set(title=name, xlim=(-1.5, 1.5), ylim=(-1.5, 1.5), aspect="equal")
    axis.set_axis_off()

# %% tags=["remove-input"]
from IPython.display import Markdown

shiver, drifts, astray, stray = (seen[name] for name in list(spoiled)[1:])
Markdown(f"""
The first row is zero: the similarity is exactly the freedom that pictures leave. Jitter and drift look alike to the ATE
({shiver.ate:.2f} and {drifts.ate:.2f}), although one camera shivers and the other walks smoothly to the wrong place. RPE
tells them apart ({shiver.rpe_trans:.2f} against {drifts.rpe_trans:.2f}), because it compares *steps*: a drift spread over
thirty steps is small in each, and a shiver is larger in a step than in a position, by about √2, because both ends of the
step shiver. The camera that looks astray has no ATE at all, for positions do not say where a camera looks; its turn of
{astray.rpe_rot_deg:.1f} degree per step is what RPE r says.

It also has an RPE t of {astray.rpe_trans:.2f}, and that is worth a thought: its positions are exact. A step is measured in
the camera's *own* axes, "so far ahead, so far to the right", and a camera that looks elsewhere calls the same step by
another direction. RPE t is therefore no pure position error. And the outlier: 29 of 30 positions are nearly right, the
median position is {np.median(stray.per_pose):.3f} off, yet the ATE is {stray.ate:.2f}. Squares are dominated by the
largest, and the alignment bends towards it.
""")

# %% [markdown]
# ## The formulas
#
# Let $G_i$ be the true and $P_i$ the predicted pose of frame $i$ of $n$, both world from camera
# ([notation](../notation.md)), with positions $\mathbf{c}_i$ and $\hat{\mathbf{c}}_i$. The similarity $T$ has a closed
# form {cite}`umeyama1991`, in which only positions take part:
#
# $$ \begin{aligned}
#    T &= \arg\min_{s, R, \mathbf{t}} \sum_i \lVert s R\,\hat{\mathbf{c}}_i + \mathbf{t} - \mathbf{c}_i \rVert^2, \\
#    \text{ATE} &= \sqrt{\tfrac1n \textstyle\sum_i \lVert T\hat{\mathbf{c}}_i - \mathbf{c}_i \rVert^2} .
#    \end{aligned} $$
#
# RPE compares each step with the true one. With $P_i$ after the alignment,
#
# $$ F_i = (G_i^{-1} G_{i+1})^{-1} (P_i^{-1} P_{i+1}) $$
#
# for $i = 1, \dots, n - 1$ is the motion that is left when the predicted step is taken back by the true one, the
# identity if both agree. RPE t is the root mean square of the lengths of its translations, RPE r that of its rotation
# angles. Both go back to the benchmark of {cite:t}`sturm2012tum`, and evo {cite}`grupp2017evo` computes all three here.
#
# Two consequences are easily overlooked. ATE and RPE t have the unit of the truth: metres for TUM, whatever the film's
# makers called one for Sintel, so they do not compare across data sets. And a step is the time between two frames: the
# same network on every third frame has about three times the step, and another RPE, without being worse.
#
# ## What is left after the best similarity
#
# Write $\sigma$ for the spread of the true positions about their mean, the root mean square distance. The minimum above
# can be written down:
#
# $$ \begin{aligned}
#    \text{ATE} &= \sigma \sqrt{1 - \rho^2}, \\
#    \text{spread of the aligned estimate} &= \rho\,\sigma ,
#    \end{aligned} $$
#
# where $\rho$, between 0 and 1, is the correlation of the two trajectories after the best rotation. It reads like any
# correlation. With $\rho = 1$ only scale and axes differed; with $\rho = 0$ the best scale is zero, the estimate is
# shrunk onto one point, and the ATE is $\sigma$, as if the camera had never moved. In between it pays to *shrink*: an
# estimate of $\rho = 0.6$ is drawn at 0.6 of the true size. **A small tangle in the middle of the true path is
# therefore the picture of a guess**, and a network that has understood the motion fills the path.
#
# How good is a guess? A similarity has seven free numbers, and $n$ positions are $3n$. With two frames it maps anything
# onto anything. The cell makes true paths, each step of them in a random direction, and asks which ATE two guesses leave,
# as a share of $\sigma$.


# %%
def left_over(frames, guess, draws=25):
    """Mean ATE of a guess as a share of the spread, over random true paths."""
    shares = []
    for _ in range(draws):
        true, poses = (np.tile(np.eye(4), (frames, 1, 1)) for _ in range(2))
        true[:, :3, 3] = rng.normal(size=(frames, 3)).cumsum(0)
        poses[:, :3, 3] = guess(frames)
        stamps = np.arange(float(frames))
        found = pose_errors(Trajectory(true, stamps), Trajectory(poses, stamps))
        spread = np.sqrt(true[:, :3, 3].var(0).sum())
        shares.append(found.ate / spread)
    return float(np.mean(shares))


# %%
def scattered(frames):
    return rng.normal(size=(frames, 3))


def straight(frames):
    # evo wants a path off one line: a millionth of a step does.
    return np.arange(frames)[:, None] * [0.0, 0.0, 1.0] + 1e-6 * scattered(frames)


# %%
lengths = [3, 4, 6, 10, 20, 50]
guesses = {"at random": scattered, "straight on": straight}
table = {who: [left_over(n, how) for n in lengths] for who, how in guesses.items()}
chance = pd.DataFrame(table, index=lengths).T.rename_axis(columns="frames")
chance.round(2)

# %% tags=["remove-input"]
(few, many), (few_line, many_line) = chance[[4, 50]].to_numpy()
Markdown(f"""
With four frames, positions drawn at random leave {few:.2f} of the spread, and a camera that goes straight on
{few_line:.2f}; with fifty it is {many:.2f} and {many_line:.2f}. The random guess is soon found out. The straight one is
not: a path has a direction, whatever it is, and a line laid along it takes a good part of the spread away. So an ATE means
little by itself. It means something beside these two, on the same clips.
""")

# %% [markdown]
# ## The networks
#
# Each network predicts every sequence, and the poses are scored under the protocol `standard`. Under that of the released
# scripts, `public`, a network sees other pictures and predicts a second time ([What the protocol is
# worth](14_what_the_protocol_is_worth.ipynb)); on made-up scenes only the last network does.

# %%
import page4d
from page4d.evaluate import open_study

study, public = (
    open_study("pose", benchmark, protocol, root=root, out=out)
    for protocol in ("standard", "public")
)
names = weights.split(",")
# The second protocol costs a second run of each network; on made-up scenes one says enough.
twice = names[-1:] if benchmark == "synthetic" else names
results, results_public = [], []
for name in names:
    model = page4d.PAGE4D.from_pretrained(name, device=device)
    results.append(study.run(model, name))
    results_public += [public.run(model, name)] if name in twice else []

# %% [markdown]
# ## Three answers without a network
#
# "The camera does not move" is an answer too. Its ATE is the spread of the true positions, its RPE the true motion
# between frames. Positions may be drawn at random: the similarity turns and shrinks them until they fit best, so their
# ATE is *below* that of the still camera. And a camera may go straight ahead at constant speed: any line can be turned
# onto any other, so it knows nothing of the clip, and on short clips it is hard to beat. A network has learned poses
# only if it beats all three in every column.

# %%
import torch
from page4d.geometry import rotation_angle_deg


def rms(values):
    return float(np.sqrt(np.mean(np.square(values))))


def spread_of(positions):
    return np.sqrt(positions.var(0).sum())


def standing(truth):
    poses = truth.world_from_camera
    steps = np.linalg.inv(poses[:-1]) @ poses[1:]
    turn = rotation_angle_deg(torch.from_numpy(steps[:, :3, :3])).numpy()
    step = rms(np.linalg.norm(steps[:, :3, 3], axis=1))
    return spread_of(truth.positions), step, rms(turn)


# %%
def placed(truth, positions):
    """The errors of a camera that does not turn and stands at these positions."""
    poses = np.tile(np.eye(4), (len(positions), 1, 1))
    poses[:, :3, 3] = positions
    return pose_errors(truth, Trajectory(poses, truth.stamps))


def at_positions(truth, positions):
    found = placed(truth, positions)
    return found.ate, found.rpe_trans, found.rpe_rot_deg


def guessed(truth):
    drawn = [at_positions(truth, scattered(len(truth.stamps))) for _ in range(20)]
    return np.mean(drawn, 0)


def straight_on(truth):
    return at_positions(truth, straight(len(truth.stamps)))


# %%
from page4d.evaluate import true_cameras

# Sequences that could not be scored have no row here either.
known = {q.name: true_cameras(q) for q in study.scored(results[-1])}
truths = {name: true for name, (_, true) in known.items()}
hows = {"still camera": standing, "straight line": straight_on}
hows["random centres"] = guessed
answers = {}
for who, how in hows.items():
    rows = {name: how(true) for name, true in truths.items()}
    answers[who] = pd.DataFrame(rows, index=kinds).T
means = pd.DataFrame({who: rows.mean() for who, rows in answers.items()}).T

# %% [markdown]
# ## The numbers
#
# The three answers stand below the networks, on the same sequences. Quoted rows are published ones; *unchecked*: not yet
# compared with the paper's own PDF. A measured row says on how many sequences it stands. Means over sequences are plain:
# a clip of fifty frames counts like one of a hundred.

# %%
from page4d.evaluate import beside_quoted, failures, measured_on, quoted_rows

networks = results + results_public
table = beside_quoted(networks, quoted_rows("pose"))
headings = dict(zip(kinds, ("ATE", "RPE t", "RPE r"), strict=True))
nothing = means.rename(columns=headings).rename_axis("method").reset_index()
nothing["status"] = f"no network, n = {len(truths)}/{results[-1].of}"
nothing = nothing.assign(dataset=study.benchmark.dataset, protocol="standard")
count = len(networks)
pd.concat([table[:count], nothing, table[count:]], ignore_index=True).round(3)

# %% tags=["hide-input"]
print(measured_on(networks))
print("\n".join(failures(networks)) or "no sequence failed")

# %% [markdown]
# In words, each network beside the strongest of the three, column by column, paired by sequence:

# %% tags=["remove-input"]
from page4d.evaluate import beside_strongest

lines, beats_all = [], []
for name, scores in zip(names, results, strict=True):
    words, ahead = [], True
    for kind, title in headings.items():
        values = {who: rows[kind].to_dict() for who, rows in answers.items()}
        who, found = beside_strongest(scores, values, kind)
        words.append(f"{title} beside the {who}: {found}")
        ahead &= found.verdict == "better"
    lines.append(f"- {name}: {'; '.join(words)}")
    beats_all += [name] * ahead
verdict = (
    f"**{', '.join(beats_all) or 'No network'}** beats the three answers in every column. "
    "A lower ATE alone does not make a trajectory."
)
Markdown("\n".join(lines) + f"\n\n{verdict}")

# %% [markdown]
# ## Without any alignment
#
# ATE and RPE t both lean on the similarity, and on few frames that is a crutch for everybody. Pairs of frames need none:
# each has a relative rotation and a direction of motion, and both are compared as they are ([Camera
# pairs](24_camera_pairs.ipynb) has the formulas). Pairs also let an old method in that gives no trajectory. *Classical
# two-view* follows the pixels from one picture to the other by optical flow, fits an essential matrix with RANSAC
# {cite}`nister2004fivepoint`, and reads a turn and a direction off it, pair by pair, with the true lens. It has learned
# nothing. It takes the pictures as they are stored: rendered scenes at the size that the built-in networks see, and once
# more at twice that size, a real data set at its full size.

# %%
from page4d.evaluate import angle_table, pair_scores

rendered = benchmark == "synthetic"
pairs = pair_scores(study, names, twice=rendered)
angles = angle_table(pairs)
angles.round(2)

# %% tags=["remove-input"]
from page4d.evaluate import between

by_label = {scores.origin["label"]: scores for scores in pairs}
middle, lines = "rotation, median clip", []
rivals = [who for who in by_label if who.startswith("classical")]
for name in names:
    for rival in rivals:
        turned = between(by_label[name], by_label[rival], "relative_rotation")
        ours, theirs = angles.loc[[name, rival], middle]
        lines.append(
            f"- {name} beside {rival}: rotation in the mean {turned}; in the median clip {ours:.1f} against "
            f"{theirs:.1f} degrees"
        )
Markdown("\n".join(lines) or "This layout has no lens, so there is no classical pose.")

# %% [markdown]
# Read mean and median together. An essential matrix is either nearly right or, where RANSAC took the things that move for
# the room, anywhere at all: a few lost pairs weigh on its mean and leave its median alone. A network's errors are more
# alike. So "ahead in the mean", where it is written of a network, may be a statement about a few clips; in the middle
# clip the same network can be far behind. The cards of the built-in networks, the
# texts beside the weights in `page4d/model/builtin`, have both answers on many more clips.
#
# ## Trajectories
#
# Back to the paths. {numref}`fig-pose-trajectories` draws truth and aligned estimate from the side from
# which the truth has most to show. Look for three things: does the estimate fill the path, or is it the shrunken tangle
# of a guess? Does it turn where the truth turns, or is it a line through a bend? And are the dots evenly spaced
# along it: where the truth walks steadily, a jump is a frame that the network could not place.

# %%
from page4d.evaluate import rigid_inverse

label, paths, lined = names[-1], {}, {}
for name in list(truths)[:6]:
    prediction = page4d.Prediction.load(study.predictions(label) / f"{name}.npz")
    frames, true = known[name]
    poses = rigid_inverse(prediction.cam_from_world[frames])
    predicted = Trajectory(poses, true.stamps)
    found = pose_errors(true, predicted)
    paths[name] = true.positions, found.aligned.positions
    lined[name] = placed(true, straight(len(true.stamps))).aligned.positions

# %% mystnb={"figure": {"caption": "True and predicted camera positions after alignment, in the two axes in which the truth moves most.", "name": "fig-pose-trajectories"}}
from page4d.viz import trajectory_panels

panels = trajectory_panels(paths, study.benchmark.unit)

# %%
fill = {f"size of {label}": [], "size of a straight line": []}
for name, (true, ours) in paths.items():
    for row, positions in zip(fill, (ours, lined[name]), strict=True):
        fill[row].append(spread_of(positions) / spread_of(true))
fill = pd.DataFrame(fill, index=list(paths)).T
fill.round(2)

# %% tags=["remove-input"]
network, line = fill.to_numpy()
fuller = int((network > line).sum())
Markdown(
    f"By the formula above, whoever fills more of the path has the smaller ATE: `{label}` fills more of it than a "
    f"straight line at constant speed in {fuller} of these {len(line)} sequences. The line fills "
    f"{100 * line.mean():.0f} % of the size on average, without having seen a picture."
)

# %% [markdown]
# ## Files for other tools
#
# Each sequence leaves its trajectory in the TUM order `stamp x y z qx qy qz qw`, with the stamps of the truth. The
# released scripts write the quaternion's `qw` first, which every TUM reader takes for something else;
# `legacy_quaternion_order=true` does the same for tools that were made for those files.

# %%
scores_file = study.scores_file(label)
files = scores_file.parent / f"{scores_file.stem}-files"
first = next(iter(truths))
print("\n".join(sorted(p.relative_to(files).as_posix() for p in files.rglob("*"))[:8]))
print((files / first / "pred_traj.txt").read_text().splitlines()[0])

# %% [markdown]
# From a shell, `evo_ape tum gt_traj.txt pred_traj.txt -as` gives the ATE of the table.
#
# ## What a trajectory must be like to be scored
#
# The alignment needs a path that leaves its line: three positions at least, not all on one straight. For a camera that
# never moves, or that rolls along a rail, the rotation about the rail is free, the ATE has no unique alignment behind it,
# and the harness refuses instead of scoring. Of Sintel's 23 sequences the pose benchmark takes a list of 14, as earlier
# work does. TUM's are walked by hand and shake in all directions; there the danger lies in the clocks, because pictures and
# poses come from two devices ([Preparing TUM and Bonn](07_preparing_tum_and_bonn.ipynb)).
#
# Some questions neither error asks. Is the *focal length* right? A network that sees every lens as a longer one can have
# perfect poses. Is the direction of a *single* pair right, without the help of all other frames in the alignment? That is
# the measure of [Camera pairs](24_camera_pairs.ipynb), angles of pairs, which needs no similarity at all. And do depth and
# poses fit *each other*? Only the points tell ([Point maps](13_point_maps.ipynb)).
#
# ## A silent mistake
#
# The released pose script for DyCheck lists every image of a folder, those of the still validation cameras too, and
# compares with the moving camera's poses. Where the counts differ, positions in a list are compared with frame
# numbers, and the few that agree by chance are scored ([E6](../differences.md)). The next cell does the same with the
# thirty poses of the circle as predictions and true poses numbered by tens, for networks from nearly perfect to useless.

# %%
tens = Trajectory(circle[:20], 10 * numbers[:20])
rows = {}
for noise in (0.01, 0.05, 0.2, 0.5):
    noisy = circle.copy()
    noisy[:, :3, 3] += rng.normal(0, noise, (30, 3))
    predicted = Trajectory(noisy, numbers)
    right, wrong = pose_errors(truth, predicted), pose_errors(tens, predicted, True)
    rows[noise] = (right.ate, right.pairs, wrong.ate, wrong.pairs)
columns = ["ATE, by name", "poses", "ATE, as released", "poses paired"]
paired = pd.DataFrame(rows, index=columns).T
paired = paired.rename_axis(columns="noise of the positions")
paired.round(3).astype({"poses": int, "poses paired": int})

# %% [markdown]
# Paired by name, the ATE follows the noise. Paired as released it does not know the network at all, and for a useless
# one it is the better number. `standard` pairs by name and refuses what has no partner.

# %% [markdown]
# ## Recap
#
# - ATE sees where cameras stood, after the best similarity; RPE sees each step, in the camera's own axes, and each turn.
# - After the alignment a guess is a small tangle: its ATE is $\sigma\sqrt{1 - \rho^2}$, its size $\rho\,\sigma$.
# - On short clips answers without any network are strong: a straight line most of all. Beside them, a table begins to
#   mean something.
# - Pairs need no alignment. There classical geometry is the answer to beat, in the mean and in the median.
# - Pairing decides: poses are compared by name or time stamp, never by their rank in a list.
#
# ## Exercises
#
# **1.** Verify $\text{ATE} = \sigma \sqrt{1 - \rho^2}$ on the jitter and the drift above.

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
sigma = spread_of(truth.positions)
for name in ("jitter", "drift"):
    rho_ = spread_of(seen[name].aligned.positions) / sigma
    print(
        f"{name}: ATE {seen[name].ate:.4f}, formula {sigma * np.sqrt(1 - rho_**2):.4f}"
    )

# %% [markdown]
# **2.** All predicted steps are right, but the camera is mirrored: every position has its $x$ negated. Does the similarity
# forgive it?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
mirrored = circle.copy()
mirrored[:, 0, 3] *= -1
found = pose_errors(truth, Trajectory(mirrored, numbers))
print(f"ATE {found.ate:.3f} of a spread of {sigma:.3f}")
# A rotation cannot mirror. What is left is the climb: a flat path would be its own mirror image, turned over.

# %% [markdown]
# **3.** A drift: each position is off by 0.02 more than the one before. Which error grows with the length of the clip?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
for length in (10, 20, 30):
    part = Trajectory(circle[:length], numbers[:length])
    drifting = circle[:length].copy()
    drifting[:, 2, 3] += 0.02 * np.arange(length)
    found = pose_errors(part, Trajectory(drifting, numbers[:length]))
    print(f"{length} frames: ATE {found.ate:.3f}, RPE t {found.rpe_trans:.3f}")
# The step does not know how long the clip is. Part of a steady drift is even forgiven: it looks like other axes.

# %% [markdown]
# **4.** Score the jittered walk on every second and every third frame. Which of its errors is a property of the estimate,
# and which of the frame rate?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
for every in (1, 2, 3):
    part, shivering = (
        Trajectory(p[::every], numbers[::every]) for p in (circle, spoiled["jitter"])
    )
    found = pose_errors(part, shivering)
    share = (
        found.rpe_trans / np.linalg.norm(np.diff(part.positions, axis=0), axis=1).mean()
    )
    print(f"every {every}: ATE {found.ate:.3f}, RPE t {found.rpe_trans:.3f}", end=", ")
    print(f"{100 * share:.0f} % of a step")
# Jitter is as large in a long step as in a short one, so beside the step it shrinks; drift would grow with the step.

# %% [markdown]
# ## Further reading
#
# {cite:t}`sturm2012tum` for both errors and the data they were made for, {cite:t}`umeyama1991` for the fit behind them,
# {cite:t}`zhang2018trajectory` for what an alignment does to them and which one a sensor deserves, and
# {cite:t}`grupp2017evo` for the tool that computes them here. Cameras of real moving scenes are compared in
# {cite:t}`li2025megasam`.
