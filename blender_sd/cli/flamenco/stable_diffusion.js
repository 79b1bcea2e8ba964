// SPDX-License-Identifier: GPL-3.0-or-later
// A job type for Flamenco (https://flamenco.blender.org/usage/job-types/), written by "sd farm flamenco".
// Each task is one command of the add-on. It can be repeated and killed at any time: --resume keeps what is finished.

const JOB_TYPE = {
    label: "Stable Diffusion",
    description: "Restyle frames, or make what a job file or a list of materials asks for",
    settings: [
        { key: "work", type: "string", required: true, default: "frames", choices: ["frames", "animation", "jobs", "materials"],
          visible: "submission",
          description: "frames one by one, an animation without flicker, the jobs of a job file, or a list of materials" },
        { key: "prompt", type: "string", default: "", visible: "submission",
          description: "What the frames should show" },
        { key: "source", type: "string", default: "CAMERA", visible: "submission",
          description: "CAMERA, or files with #### for the frame's number; for an animation a movie too" },
        { key: "frames", type: "string", eval: "f'{C.scene.frame_start}-{C.scene.frame_end}'", visible: "submission",
          description: "Frame range, such as '47', '1-30' or '3, 5-10, 47-327'" },
        { key: "chunk_size", type: "int32", default: 20, visible: "submission",
          description: "Frames that one task makes; the guide says how to choose it" },
        { key: "list", type: "string", subtype: "file_path", default: "", visible: "submission",
          description: "The job file (JSON), or the list of materials (CSV or TXT)" },
        { key: "count", type: "int32", default: 0, visible: "submission",
          description: "How many jobs or materials the list has, as 'sd batch LIST --dry-run' counts them" },
        { key: "library", type: "string", subtype: "dir_path", default: "", visible: "submission",
          description: "The asset library for materials" },
        { key: "output", type: "string", subtype: "dir_path", default: "", visible: "submission",
          description: "A folder of this job's own for the pictures, which all workers can write to" },
        { key: "seed", type: "int32", default: 1, visible: "submission", description: "The seed of all frames" },
        { key: "options", type: "string", default: "", visible: "submission",
          description: "Further options of the command, such as: --strength 0.4 --model \"my model\"" },
        { key: "movie", type: "bool", default: false, visible: "submission",
          description: "Make a movie of the frames" },
        { key: "fps", type: "float", eval: "C.scene.render.fps / C.scene.render.fps_base", visible: "hidden" },
        { key: "blendfile", type: "string", default: "", visible: "web", description: "The .blend file" },
    ],
};

const VERSION = "@VERSION@";

function compileJob(job) {
    const settings = job.settings;
    const work = settings.work || "frames";
    const tasks = work === "jobs" ? jobTasks(settings)
        : work === "materials" ? materialTasks(settings)
        : work === "animation" ? animationTasks(settings) : frameTasks(settings);
    if (tasks.length === 0) {
        throw new Error("Stable Diffusion: there is nothing to do; give frames, or the count of the list.");
    }
    tasks.forEach(function (task) { job.addTask(task); });
    if (settings.movie && (work === "frames" || work === "animation")) {
        const movie = movieTask(settings);
        tasks.forEach(function (task) { movie.addDependency(task); });
        job.addTask(movie);
    }
}

function frameTasks(settings) {
    need(settings, ["prompt", "output", "frames"]);
    return frameChunker(settings.frames, settings.chunk_size || 20).map(function (chunk) {
        return commandTask("restyle-" + chunk, settings, [
            "restyle", settings.source || "CAMERA", settings.prompt, "--frames=" + chunk,
            "--output", settings.output, "--seed", String(settings.seed), "--resume",
        ]);
    });
}

// One task records the animation, one paints the keyframes, and the others the frames between.
function animationTasks(settings) {
    need(settings, ["prompt", "output", "frames"]);
    const source = !settings.source || settings.source === "CAMERA" ? "SCENE" : settings.source;
    const command = ["animate", source, settings.prompt, "--output", settings.output, "--seed", String(settings.seed),
                     "--resume"];
    const record = commandTask("record", settings, command.concat(["--frames=" + settings.frames, "--record-only"]));
    const keyframes = commandTask("keyframes", settings, command.concat(["--keyframes-only"]));
    keyframes.addDependency(record);
    const chunks = frameChunker(settings.frames, settings.chunk_size || 20).map(function (chunk) {
        const task = commandTask("animate-" + chunk, settings, command.concat(["--only=" + chunk]));
        task.addDependency(keyframes);
        return task;
    });
    return [record, keyframes].concat(chunks);
}

function jobTasks(settings) {
    need(settings, ["list", "count"]);
    return numbers(settings.count).map(function (number) {
        const output = settings.output ? ["--output", settings.output] : [];
        return commandTask("job-" + number, settings, [
            "batch", settings.list, "--only", String(number), "--resume",
        ].concat(output));
    });
}

function materialTasks(settings) {
    need(settings, ["list", "count", "library"]);
    return numbers(settings.count).map(function (number) {
        return commandTask("material-" + number, settings, [
            "materials", settings.list, "--library", settings.library, "--only", String(number),
        ]);
    });
}

function commandTask(name, settings, command) {
    const task = author.Task(name, "blender");
    const opened = settings.blendfile ? [settings.blendfile] : [];
    task.addCommand(author.Command("exec", {
        exe: "{blender}",
        args: ["-b"].concat(opened, ["--command", "sd"], command, words(settings.options || ""),
                            ["--expect-version", VERSION]),
    }));
    return task;
}

function movieTask(settings) {
    const task = author.Task("movie", "ffmpeg");
    task.addCommand(author.Command("frames-to-video", {
        exe: "ffmpeg",
        fps: settings.fps || 24,
        inputGlob: path.join(settings.output, "*.png"),
        outputFile: path.join(settings.output, "movie.mp4"),
        args: ["-c:v", "h264", "-crf", "18", "-g", "18", "-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2",
               "-pix_fmt", "yuv420p", "-r", String(settings.fps || 24), "-y"],
    }));
    return task;
}

function numbers(count) {
    const all = [];
    for (let number = 1; number <= count; number++) {
        all.push(number);
    }
    return all;
}

function need(settings, names) {
    names.forEach(function (name) {
        if (!settings[name]) {
            throw new Error("Stable Diffusion: '" + name + "' must be set for this work.");
        }
    });
}

// Split options at spaces, except inside double quotes.
function words(text) {
    const found = [];
    const pattern = /"([^"]*)"|(\S+)/g;
    let match;
    while ((match = pattern.exec(text)) !== null) {
        found.push(match[1] !== undefined ? match[1] : match[2]);
    }
    return found;
}
